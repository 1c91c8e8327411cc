/* A whole ViM block on a CPU, for inference: vim_native.py prepares the weights, vim.py is the definition.
 *
 * One token after the other runs through everything between the projections, so what a block computes inside never
 * leaves the nearest cache. The lanes of a vector are sixteen of the inner channels. The scan is carried from chunk to
 * chunk as in selective_scan/_native.c.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdlib.h>

#include "_vector.h"

enum { CHUNK = 32, TAPS = 4, MAX_BLOCKS = 4 };

/* log(1 + exp(x)): log1p(e) = 2 atanh(e / (2 + e)), whose argument is at most 1/3. */
INLINE Vec softplus_of(Vec x)
{
    Int negative = x < 0.0f;
    Vec e = exp_of((Vec)(((Int)x & negative) | ((Int)-x & ~negative)));
    Vec s = e / (e + 2.0f), q = s * s;
    Vec p = q * (1.0f / 13) + 1.0f / 11;
    p = p * q + 1.0f / 9;
    p = p * q + 1.0f / 7;
    p = p * q + 1.0f / 5;
    p = p * q + 1.0f / 3;
    Vec positive = (Vec)((Int)x & ~negative);
    return positive + 2.0f * (p * q * s + s);
}

INLINE Vec silu_of(Vec x)
{
    Int negative = x < 0.0f;
    Vec e = exp_of((Vec)(((Int)x & negative) | ((Int)-x & ~negative)));
    Vec top = (Vec)(((Int)e & negative) | ((Int)((Vec){} + 1.0f) & ~negative));
    return x * top / (e + 1.0f);
}

/* Sizes and weights. dim and inner are multiples of nothing and of LANES; rows are padded with zeros to LANES:
 * norm (2, LANES) scale and shift; in (dim, 2 inner); out (inner, LANES); of each direction: conv (TAPS, inner), conv
 * bias, dt bias and D (inner) each; project (inner, 3, LANES), to dt, B and C; dt (rank, inner); A (states, inner). */
typedef struct {
    Py_ssize_t tokens, dim, inner, states, rank;
    const float *norm, *in, *out, *conv, *conv_bias, *project, *dt, *dt_bias, *A, *D;
} Block;

/* Normalise and project every token: x and gate (tokens, inner), the gate through its SiLU. */
INLINE void enter(const Block *b, const float *tokens, float *x, float *gate)
{
    Vec weight = load(b->norm, LANES), shift = load(b->norm + LANES, LANES);
    for (Py_ssize_t t = 0; t < b->tokens; t++) {
        const float *token = tokens + t * b->dim;
        float mean = 0, variance = 0, normed[LANES];
        for (Py_ssize_t i = 0; i < b->dim; i++)
            mean += token[i];
        mean /= b->dim;
        for (Py_ssize_t i = 0; i < b->dim; i++)
            variance += (token[i] - mean) * (token[i] - mean);
        float scale = 1 / __builtin_sqrtf(variance / b->dim + 1e-5f);
        store(normed, (load(token, b->dim) - mean) * scale * weight + shift, LANES);
        for (Py_ssize_t k = 0; k < b->inner; k += LANES) {
            Vec into = {}, gated = {};
            for (Py_ssize_t i = 0; i < b->dim; i++) {
                into += normed[i] * load(b->in + i * 2 * b->inner + k, LANES);
                gated += normed[i] * load(b->in + i * 2 * b->inner + b->inner + k, LANES);
            }
            store(x + t * b->inner + k, into, LANES);
            store(gate + t * b->inner + k, silu_of(gated), LANES);
        }
    }
}

/* The convolution, the projections and the scan of one direction: adds to y (tokens, inner). `scratch`: (3 states +
 * states) vectors for each block of lanes, `entry` as many wide ones as states. */
INLINE void scan(const Block *b, Py_ssize_t direction, const float *x, float *y, Vec *scratch, Wide *entries)
{
    Py_ssize_t N = b->states, E = b->inner, blocks = E / LANES;
    const float *conv = b->conv + direction * TAPS * E, *conv_bias = b->conv_bias + direction * E;
    const float *project = b->project + direction * E * 3 * LANES, *dt_weight = b->dt + direction * b->rank * E;
    const float *dt_bias = b->dt_bias + direction * E, *A = b->A + direction * N * E, *D = b->D + direction * E;
    float inside[MAX_BLOCKS * LANES], projected[3 * LANES];
    Vec past[TAPS][MAX_BLOCKS] = {}, elapsed[MAX_BLOCKS];
    memset(entries, 0, blocks * N * sizeof *entries);
    for (Py_ssize_t begin = 0; begin < b->tokens; begin += CHUNK) {
        Py_ssize_t end = begin + CHUNK < b->tokens ? begin + CHUNK : b->tokens;
        for (Py_ssize_t k = 0; k < blocks; k++) {
            Vec *local = scratch + k * 3 * N, *passed = local + N, *entered = passed + N;
            for (Py_ssize_t n = 0; n < N; n++) {
                entered[n] = __builtin_convertvector(entries[k * N + n], Vec);
                local[n] = (Vec){};
                passed[n] = (Vec){} + 1.0f;
            }
            elapsed[k] = (Vec){};
        }
        for (Py_ssize_t step = begin; step < end; step++) {
            Py_ssize_t t = direction ? b->tokens - 1 - step : step;
            for (Py_ssize_t k = 0; k < blocks; k++) {
                past[step % TAPS][k] = load(x + t * E + k * LANES, LANES);
                Vec sum = load(conv_bias + k * LANES, LANES);
                for (int tap = 0; tap < TAPS; tap++)
                    sum += load(conv + tap * E + k * LANES, LANES) * past[(step + 1 + tap) % TAPS][k];
                store(inside + k * LANES, silu_of(sum), LANES);
            }
            Vec to_dt = {}, to_B = {}, to_C = {};
            for (Py_ssize_t e = 0; e < E; e++) {
                to_dt += inside[e] * load(project + e * 3 * LANES, LANES);
                to_B += inside[e] * load(project + e * 3 * LANES + LANES, LANES);
                to_C += inside[e] * load(project + e * 3 * LANES + 2 * LANES, LANES);
            }
            store(projected, to_dt, LANES);
            store(projected + LANES, to_B, LANES);
            store(projected + 2 * LANES, to_C, LANES);
            const float *B = projected + LANES, *C = B + LANES;
            for (Py_ssize_t k = 0; k < blocks; k++) {
                Vec *local = scratch + k * 3 * N, *passed = local + N, *entered = passed + N;
                Vec dt = load(dt_bias + k * LANES, LANES), u = load(inside + k * LANES, LANES);
                for (Py_ssize_t r = 0; r < b->rank; r++)
                    dt += projected[r] * load(dt_weight + r * E + k * LANES, LANES);
                dt = softplus_of(dt);
                Vec in = dt * u, out = load(D + k * LANES, LANES) * u;
                for (Py_ssize_t n = 0; n < N; n++) {
                    Vec decay = exp_of(dt * load(A + n * E + k * LANES, LANES));
                    passed[n] *= decay;
                    local[n] = decay * local[n] + in * B[n];
                    out += C[n] * (local[n] + passed[n] * entered[n]);
                }
                elapsed[k] += dt;
                float *at = y + t * E + k * LANES;
                store(at, load(at, LANES) + out, LANES);
            }
        }
        for (Py_ssize_t k = 0; k < blocks; k++)
            for (Py_ssize_t n = 0; n < N; n++) {
                Vec decay = expm1_of(load(A + n * E + k * LANES, LANES) * elapsed[k]);
                entries[k * N + n] += __builtin_convertvector(decay, Wide) * entries[k * N + n] +
                                      __builtin_convertvector(scratch[k * 3 * N + n], Wide);
            }
    }
}

/* tokens + out-projection of y * gate. */
INLINE void leave(const Block *b, const float *tokens, const float *y, const float *gate, float *result)
{
    for (Py_ssize_t t = 0; t < b->tokens; t++) {
        Vec sum = load(tokens + t * b->dim, b->dim);
        float gated[MAX_BLOCKS * LANES];
        for (Py_ssize_t k = 0; k < b->inner; k += LANES)
            store(gated + k, load(y + t * b->inner + k, LANES) * load(gate + t * b->inner + k, LANES), LANES);
        for (Py_ssize_t e = 0; e < b->inner; e++)
            sum += gated[e] * load(b->out + e * LANES, LANES);
        store(result + t * b->dim, sum, b->dim);
    }
}

/* Where a block's inner tensors are: x, gate, y (tokens, inner); scratch 3 states * inner / LANES vectors. */
typedef struct {
    float *x, *gate, *y;
    Vec *scratch;
    Wide *entries;
} Room;

INLINE void block(const Block *b, const Room *room, const float *tokens, float *result)
{
    enter(b, tokens, room->x, room->gate);
    memset(room->y, 0, b->tokens * b->inner * sizeof(float));
    scan(b, 0, room->x, room->y, room->scratch, room->entries);
    scan(b, 1, room->x, room->y, room->scratch, room->entries);
    leave(b, tokens, room->y, room->gate, result);
}

VERSIONS(block, (const Block *b, const Room *room, const float *tokens, float *result), (b, room, tokens, result))

static float *pointer(PyObject *addresses, Py_ssize_t index)
{
    PyObject *address = PyTuple_GetItem(addresses, index);
    return address ? PyLong_AsVoidPtr(address) : NULL;
}

/* block(batch, tokens, dim, inner, states, rank, addresses): the addresses of the float32 arrays of Block from norm to
 * D, then those of the tokens and the result, (batch, tokens, dim). */
static PyObject *run(PyObject *module, PyObject *args)
{
    Py_ssize_t batch;
    PyObject *at;
    Block b;
    if (!PyArg_ParseTuple(args, "nnnnnnO!", &batch, &b.tokens, &b.dim, &b.inner, &b.states, &b.rank, &PyTuple_Type, &at))
        return NULL;
    if (b.dim > LANES || b.inner % LANES || b.inner > MAX_BLOCKS * LANES || b.states > LANES || b.rank > LANES) {
        PyErr_Format(PyExc_ValueError, "no block of dim %zd, inner %zd, states %zd, rank %zd", b.dim, b.inner, b.states,
                     b.rank);
        return NULL;
    }
    const float **weights[] = {&b.norm, &b.in, &b.out, &b.conv, &b.conv_bias, &b.project, &b.dt, &b.dt_bias, &b.A, &b.D};
    Py_ssize_t count = sizeof weights / sizeof *weights;
    for (Py_ssize_t i = 0; i < count; i++)
        *weights[i] = pointer(at, i);
    const float *tokens = pointer(at, count);
    float *result = pointer(at, count + 1);
    if (PyErr_Occurred())
        return NULL;

    Py_ssize_t size = b.tokens * b.inner, vectors = b.states * b.inner / LANES;
    float *room = malloc(3 * size * sizeof *room);
    Vec *scratch = aligned_alloc(sizeof(Vec), 3 * vectors * sizeof(Vec));
    Wide *entries = aligned_alloc(sizeof(Wide), vectors * sizeof(Wide));
    int failed = !room || !scratch || !entries;
    if (!failed) {
        Room inside = {room, room + size, room + 2 * size, scratch, entries};
        Py_BEGIN_ALLOW_THREADS
        for (Py_ssize_t i = 0; i < batch; i++)
            run_block(&b, &inside, tokens + i * b.tokens * b.dim, result + i * b.tokens * b.dim);
        Py_END_ALLOW_THREADS
    }
    free(room);
    free(scratch);
    free(entries);
    if (failed)
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {{"block", run, METH_VARARGS, NULL}, {NULL, NULL, 0, NULL}};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_vim", NULL, -1, methods};

PyMODINIT_FUNC PyInit__vim(void)
{
    return PyModule_Create(&module);
}
