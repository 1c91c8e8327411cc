/* The selective scan on a CPU, fused: forward and backward. native.py says what it computes and why in this form.
 *
 * Sixteen channels of one group run side by side as the lanes of a vector, all states of a token before the next token.
 * A chunk of tokens starts from a zero state; what the chunk was entered with is carried beside it in double:
 *
 *     local[t] = decay[t] * local[t - 1] + x[t] B[t]      passed[t] = decay[t] * passed[t - 1], passed[-1] = 1
 *     h[t] = local[t] + passed[t] * entry                 entry' = entry + expm1(A sum dt) * entry + local[end]
 *
 * so float32 never has to tell exp(-1e-6) from 1 over thousands of tokens.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdlib.h>

#include "../_vector.h"

enum { CHUNK = 32 };

/* Lengths, and one group of one batch entry: u, delta, y (tokens, channels); A (channels, states); B, C (tokens,
 * states); entries (blocks, chunks, states, LANES), what each chunk is entered with. */
typedef struct {
    Py_ssize_t tokens, channels, states, chunks;
    const float *u, *delta, *A, *B, *C;
    float *entries;
} Group;

/* Decay rates of the channels from `first` on: (states, LANES). */
INLINE void load_rates(const Group *g, Py_ssize_t first, int lanes, Vec *rates)
{
    for (Py_ssize_t n = 0; n < g->states; n++) {
        rates[n] = (Vec){};
        for (int i = 0; i < lanes; i++)
            rates[n][i] = g->A[(first + i) * g->states + n];
    }
}

INLINE void carry(Wide *entry, const Vec *rates, Vec elapsed, const Vec *local, Py_ssize_t states)
{
    for (Py_ssize_t n = 0; n < states; n++)
        entry[n] += __builtin_convertvector(expm1_of(rates[n] * elapsed), Wide) * entry[n] +
                    __builtin_convertvector(local[n], Wide);
}

INLINE Py_ssize_t smaller(Py_ssize_t a, Py_ssize_t b)
{
    return a < b ? a : b;
}

/* y = sum over states of C h. `scratch`: 4 * states vectors and `states` wide ones. */
INLINE void forward_group(const Group *g, float *y, Vec *scratch, Wide *entry)
{
    Py_ssize_t N = g->states;
    Vec *rates = scratch, *local = rates + N, *passed = local + N, *enter = passed + N;
    for (Py_ssize_t first = 0; first < g->channels; first += LANES) {
        int lanes = smaller(LANES, g->channels - first);
        Vec *saved = (Vec *)g->entries + first / LANES * g->chunks * N;
        load_rates(g, first, lanes, rates);
        memset(entry, 0, N * sizeof *entry);
        for (Py_ssize_t begin = 0; begin < g->tokens; begin += CHUNK) {
            Vec elapsed = {};
            for (Py_ssize_t n = 0; n < N; n++) {
                enter[n] = __builtin_convertvector(entry[n], Vec);
                local[n] = (Vec){};
                passed[n] = (Vec){} + 1.0f;
            }
            memcpy(saved + begin / CHUNK * N, enter, N * sizeof *enter);
            for (Py_ssize_t t = begin; t < smaller(begin + CHUNK, g->tokens); t++) {
                const float *B = g->B + t * N, *C = g->C + t * N;
                Vec dt = load(g->delta + t * g->channels + first, lanes);
                Vec x = dt * load(g->u + t * g->channels + first, lanes), out = {};
                for (Py_ssize_t n = 0; n < N; n++) {
                    Vec decay = exp_of(dt * rates[n]);
                    passed[n] *= decay;
                    local[n] = decay * local[n] + x * B[n];
                    out += C[n] * (local[n] + passed[n] * enter[n]);
                }
                store(y + t * g->channels + first, out, lanes);
                elapsed += dt;
            }
            carry(entry, rates, elapsed, local, N);
        }
    }
}

/* Gradients of the loss, as the inputs are laid out; dB and dC are added to. */
typedef struct {
    const float *y;
    float *u, *delta, *A, *B, *C;
} Gradients;

/* With g[t] the gradient to h[t], g[t] = C[t] dy[t] + decay[t + 1] g[t + 1]: the same recurrence from the end, carried
 * the same way. `scratch`: (4 + 2 (CHUNK + 1)) * states vectors. */
INLINE void backward_group(const Group *g, const Gradients *d, Vec *scratch, Wide *entry)
{
    Py_ssize_t N = g->states;
    Vec *rates = scratch, *dA = rates + N, *local = dA + N, *passed = local + N;
    Vec *states = passed + N, *decays = states + (CHUNK + 1) * N; /* states[t + 1] is h[t] of the chunk */
    for (Py_ssize_t first = 0; first < g->channels; first += LANES) {
        int lanes = smaller(LANES, g->channels - first);
        const Vec *saved = (const Vec *)g->entries + first / LANES * g->chunks * N;
        load_rates(g, first, lanes, rates);
        memset(entry, 0, N * sizeof *entry);
        memset(dA, 0, N * sizeof *dA);
        for (Py_ssize_t chunk = g->chunks - 1; chunk >= 0; chunk--) {
            Py_ssize_t begin = chunk * CHUNK, length = smaller(CHUNK, g->tokens - begin);
            Vec elapsed = {};
            memcpy(states, saved + chunk * N, N * sizeof *states);
            for (Py_ssize_t t = 0; t < length; t++) {
                const float *B = g->B + (begin + t) * N;
                Vec dt = load(g->delta + (begin + t) * g->channels + first, lanes);
                Vec x = dt * load(g->u + (begin + t) * g->channels + first, lanes);
                Vec *h = states + t * N, *decay = decays + t * N;
                for (Py_ssize_t n = 0; n < N; n++) {
                    decay[n] = exp_of(dt * rates[n]);
                    h[N + n] = decay[n] * h[n] + x * B[n];
                }
                elapsed += dt;
            }
            for (Py_ssize_t n = 0; n < N; n++) {
                local[n] = (Vec){};
                passed[n] = (Vec){} + 1.0f;
            }
            for (Py_ssize_t t = length - 1; t >= 0; t--) {
                Py_ssize_t token = begin + t, at = token * g->channels + first;
                const float *B = g->B + token * N, *C = g->C + token * N;
                Vec dt = load(g->delta + at, lanes), u = load(g->u + at, lanes), dy = load(d->y + at, lanes);
                Vec x = dt * u, dx = {}, ddt = {};
                for (Py_ssize_t n = 0; n < N; n++) {
                    local[n] += C[n] * dy;
                    Vec dh = local[n] + passed[n] * __builtin_convertvector(entry[n], Vec);
                    d->C[token * N + n] += sum_of(dy * states[(t + 1) * N + n]);
                    d->B[token * N + n] += sum_of(dh * x);
                    dx += dh * B[n];
                    Vec exponent = dh * decays[t * N + n] * states[t * N + n]; /* gradient to dt * rates */
                    dA[n] += exponent * dt;
                    ddt += exponent * rates[n];
                    local[n] *= decays[t * N + n];
                    passed[n] *= decays[t * N + n];
                }
                store(d->u + at, dx * dt, lanes);
                store(d->delta + at, ddt + dx * u, lanes);
            }
            carry(entry, rates, elapsed, local, N);
        }
        for (Py_ssize_t n = 0; n < N; n++)
            for (int i = 0; i < lanes; i++)
                d->A[(first + i) * N + n] += dA[n][i];
    }
}

VERSIONS(forward_group, (const Group *g, float *y, Vec *scratch, Wide *entry), (g, y, scratch, entry))
VERSIONS(backward_group, (const Group *g, const Gradients *d, Vec *scratch, Wide *entry), (g, d, scratch, entry))

static float *pointer(PyObject *address)
{
    return PyLong_AsVoidPtr(address);
}

/* forward(begin, end, batch entries x groups of: groups, tokens, channels, states, then the addresses of float32 arrays)
 * Group i of [begin, end) is group i % groups of batch entry i / groups. */
static PyObject *forward(PyObject *module, PyObject *args)
{
    Py_ssize_t begin, end, groups, T, D, N;
    PyObject *u, *delta, *A, *B, *C, *y, *entries;
    if (!PyArg_ParseTuple(args, "nnnnnnOOOOOOO", &begin, &end, &groups, &T, &D, &N, &u, &delta, &A, &B, &C, &y, &entries))
        return NULL;
    float *pu = pointer(u), *pdelta = pointer(delta), *pA = pointer(A), *pB = pointer(B), *pC = pointer(C);
    float *py = pointer(y), *pentries = pointer(entries);
    if (PyErr_Occurred())
        return NULL;
    Py_ssize_t chunks = (T + CHUNK - 1) / CHUNK, blocks = (D + LANES - 1) / LANES;
    Vec *scratch = aligned_alloc(sizeof(Vec), 4 * N * sizeof(Vec));
    Wide *entry = aligned_alloc(sizeof(Wide), N * sizeof(Wide));
    if (scratch && entry) {
        Py_BEGIN_ALLOW_THREADS
        for (Py_ssize_t i = begin; i < end; i++) {
            Group g = {T, D, N, chunks, pu + i * T * D, pdelta + i * T * D, pA + i % groups * D * N, pB + i * T * N,
                       pC + i * T * N, pentries + i * blocks * chunks * N * LANES};
            run_forward_group(&g, py + i * T * D, scratch, entry);
        }
        Py_END_ALLOW_THREADS
    }
    int failed = !scratch || !entry;
    free(scratch);
    free(entry);
    if (failed)
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}

/* As forward, then the addresses of the gradients: dy in; du, ddelta, dA (batch entries x groups, D, N), dB, dC out. */
static PyObject *backward(PyObject *module, PyObject *args)
{
    Py_ssize_t begin, end, groups, T, D, N;
    PyObject *u, *delta, *A, *B, *C, *entries, *dy, *du, *ddelta, *dA, *dB, *dC;
    if (!PyArg_ParseTuple(args, "nnnnnnOOOOOOOOOOOO", &begin, &end, &groups, &T, &D, &N, &u, &delta, &A, &B, &C, &entries,
                          &dy, &du, &ddelta, &dA, &dB, &dC))
        return NULL;
    float *pu = pointer(u), *pdelta = pointer(delta), *pA = pointer(A), *pB = pointer(B), *pC = pointer(C);
    float *pentries = pointer(entries), *pdy = pointer(dy), *pdu = pointer(du), *pddelta = pointer(ddelta);
    float *pdA = pointer(dA), *pdB = pointer(dB), *pdC = pointer(dC);
    if (PyErr_Occurred())
        return NULL;
    Py_ssize_t chunks = (T + CHUNK - 1) / CHUNK, blocks = (D + LANES - 1) / LANES;
    Vec *scratch = aligned_alloc(sizeof(Vec), (4 + 2 * (CHUNK + 1)) * N * sizeof(Vec));
    Wide *entry = aligned_alloc(sizeof(Wide), N * sizeof(Wide));
    if (scratch && entry) {
        Py_BEGIN_ALLOW_THREADS
        for (Py_ssize_t i = begin; i < end; i++) {
            Group g = {T, D, N, chunks, pu + i * T * D, pdelta + i * T * D, pA + i % groups * D * N, pB + i * T * N,
                       pC + i * T * N, pentries + i * blocks * chunks * N * LANES};
            Gradients d = {pdy + i * T * D, pdu + i * T * D, pddelta + i * T * D, pdA + i * D * N, pdB + i * T * N,
                           pdC + i * T * N};
            run_backward_group(&g, &d, scratch, entry);
        }
        Py_END_ALLOW_THREADS
    }
    int failed = !scratch || !entry;
    free(scratch);
    free(entry);
    if (failed)
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"forward", forward, METH_VARARGS, NULL},
    {"backward", backward, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_native", NULL, -1, methods};

PyMODINIT_FUNC PyInit__native(void)
{
    PyObject *self = PyModule_Create(&module);
    if (self && (PyModule_AddIntConstant(self, "LANES", LANES) || PyModule_AddIntConstant(self, "CHUNK", CHUNK)))
        Py_CLEAR(self);
    return self;
}
