// A whole ViM block on a CPU, for inference: vim_native.py prepares the weights, vim.py is the definition.
//
// One token after the other runs through everything between the projections, so what a block computes inside never leaves
// the nearest cache. The lanes of a vector are inner channels. The scan is carried from chunk to chunk as in
// selective_scan/_native.cpp.

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <cstdlib>

#include "_vector.h"

typedef Py_ssize_t Size;

enum { CHUNK = 32, TAPS = 4, ROW = 16, MAX_INNER = 64 };

// Sizes and weights; rows are padded with zeros to ROW. norm (2, ROW), scale and shift; in (dim, 2 inner); out (inner,
// ROW); of each direction: conv (TAPS, inner); conv bias, dt bias and D, inner each; project (inner, 3, ROW), to dt, B and
// C; dt (rank, inner); A (states, inner).
struct Block {
    Size tokens, dim, inner, states, rank;
    const float *norm, *in, *out, *conv, *conv_bias, *project, *dt, *dt_bias, *A, *D;
};

// Where a block's inner tensors are: x, gate, y (tokens, inner); scan, 5 * states * inner.
struct Room {
    float *x, *gate, *y, *scan;
};

// Layer norm of one token.
INLINE void normalise(const Block &b, const float *token, float *normed)
{
    float mean = 0, variance = 0;
    for (Size i = 0; i < b.dim; i++)
        mean += token[i];
    mean /= b.dim;
    for (Size i = 0; i < b.dim; i++)
        variance += (token[i] - mean) * (token[i] - mean);
    float scale = 1 / __builtin_sqrtf(variance / b.dim + 1e-5f);
    for (Size i = 0; i < b.dim; i++)
        normed[i] = (token[i] - mean) * scale * b.norm[i] + b.norm[ROW + i];
}

// Normalise and project every token, to x and to the gate, which also goes through its SiLU.
template <int N> INLINE void enter(const Block &b, const float *tokens, const Room &room)
{
    for (Size t = 0; t < b.tokens; t++) {
        float normed[ROW];
        normalise(b, tokens + t * b.dim, normed);
        for (Size k = 0; k < b.inner; k += N) {
            Vec<N> into{}, gated{};
            for (Size i = 0; i < b.dim; i++) {
                into += normed[i] * load<N>(b.in + i * 2 * b.inner + k);
                gated += normed[i] * load<N>(b.in + i * 2 * b.inner + b.inner + k);
            }
            store<N>(room.x + t * b.inner + k, into);
            store<N>(room.gate + t * b.inner + k, silu_of<N>(gated));
        }
    }
}

// The convolution, the projections and the scan of one direction; adds to y.
template <int N> INLINE void scan(const Block &b, Size direction, const Room &room)
{
    const Size S = b.states, E = b.inner;
    const float *conv = b.conv + direction * TAPS * E, *conv_bias = b.conv_bias + direction * E;
    const float *project = b.project + direction * E * 3 * ROW, *dt_weight = b.dt + direction * b.rank * E;
    const float *dt_bias = b.dt_bias + direction * E, *A = b.A + direction * S * E, *D = b.D + direction * E;
    Wide<N> *entry = (Wide<N> *)room.scan; // of vector k of the channels and state n: k / N * S + n
    Vec<N> *local = (Vec<N> *)(room.scan + 2 * S * E), *passed = local + S * E / N, *entered = passed + S * E / N;
    float past[TAPS][MAX_INNER] = {}, inside[MAX_INNER], elapsed[MAX_INNER], projected[3 * ROW];
    const float *B = projected + ROW, *C = B + ROW;
    memset(entry, 0, 2 * S * E * sizeof(float));
    for (Size begin = 0; begin < b.tokens; begin += CHUNK) {
        for (Size i = 0; i < S * E / N; i++) {
            entered[i] = __builtin_convertvector(entry[i], Vec<N>);
            local[i] = Vec<N>{};
            passed[i] = all<N>(1);
        }
        memset(elapsed, 0, sizeof elapsed);
        for (Size step = begin; step < begin + CHUNK && step < b.tokens; step++) {
            Size t = direction ? b.tokens - 1 - step : step;
            for (Size k = 0; k < E; k += N) {
                store<N>(past[step % TAPS] + k, load<N>(room.x + t * E + k));
                Vec<N> sum = load<N>(conv_bias + k);
                for (int tap = 0; tap < TAPS; tap++)
                    sum += load<N>(conv + tap * E + k) * load<N>(past[(step + 1 + tap) % TAPS] + k);
                store<N>(inside + k, silu_of<N>(sum));
            }
            for (Size o = 0; o < 3 * ROW; o += N) {
                Vec<N> sum{};
                for (Size e = 0; e < E; e++)
                    sum += inside[e] * load<N>(project + e * 3 * ROW + o);
                store<N>(projected + o, sum);
            }
            for (Size k = 0; k < E; k += N) {
                Vec<N> dt = load<N>(dt_bias + k), u = load<N>(inside + k);
                for (Size r = 0; r < b.rank; r++)
                    dt += projected[r] * load<N>(dt_weight + r * E + k);
                dt = softplus_of<N>(dt);
                Vec<N> in = dt * u, out = load<N>(D + k) * u;
                Vec<N> *l = local + k / N * S, *p = passed + k / N * S;
                const Vec<N> *h = entered + k / N * S;
                for (Size n = 0; n < S; n++) {
                    Vec<N> decay = exp_of<N>(dt * load<N>(A + n * E + k));
                    p[n] *= decay;
                    l[n] = decay * l[n] + in * B[n];
                    out += C[n] * (l[n] + p[n] * h[n]);
                }
                store<N>(elapsed + k, load<N>(elapsed + k) + dt);
                store<N>(room.y + t * E + k, load<N>(room.y + t * E + k) + out);
            }
        }
        for (Size k = 0; k < E; k += N)
            for (Size n = 0; n < S; n++) {
                Size i = k / N * S + n;
                Vec<N> decay = expm1_of<N>(load<N>(A + n * E + k) * load<N>(elapsed + k));
                entry[i] += __builtin_convertvector(decay, Wide<N>) * entry[i] + __builtin_convertvector(local[i], Wide<N>);
            }
    }
}

// tokens + out-projection of y * gate.
template <int N> INLINE void leave(const Block &b, const float *tokens, const Room &room, float *result)
{
    for (Size t = 0; t < b.tokens; t++) {
        float gated[MAX_INNER], sums[ROW];
        for (Size k = 0; k < b.inner; k += N)
            store<N>(gated + k, load<N>(room.y + t * b.inner + k) * load<N>(room.gate + t * b.inner + k));
        for (Size o = 0; o < ROW; o += N) {
            Vec<N> sum{};
            for (Size e = 0; e < b.inner; e++)
                sum += gated[e] * load<N>(b.out + e * ROW + o);
            store<N>(sums + o, sum);
        }
        for (Size i = 0; i < b.dim; i++)
            result[t * b.dim + i] = tokens[t * b.dim + i] + sums[i];
    }
}

template <int N> INLINE void block(const Block &b, const Room &room, const float *tokens, float *result)
{
    enter<N>(b, tokens, room);
    memset(room.y, 0, b.tokens * b.inner * sizeof(float));
    scan<N>(b, 0, room);
    scan<N>(b, 1, room);
    leave<N>(b, tokens, room, result);
}

DISPATCH(block, (const Block &b, const Room &room, const float *tokens, float *result), (b, room, tokens, result))

static float *pointer(PyObject *addresses, Size index)
{
    PyObject *address = PyTuple_GetItem(addresses, index);
    return address ? (float *)PyLong_AsVoidPtr(address) : nullptr;
}

// block(batch, tokens, dim, inner, states, rank, addresses): the addresses of the contiguous float32 arrays of Block from
// norm to D, then those of the tokens and the result, (batch, tokens, dim).
static PyObject *run(PyObject *, PyObject *args)
{
    Size batch;
    PyObject *at;
    Block b;
    if (!PyArg_ParseTuple(args, "nnnnnnO!", &batch, &b.tokens, &b.dim, &b.inner, &b.states, &b.rank, &PyTuple_Type, &at))
        return nullptr;
    if (b.dim > ROW || b.inner % ROW || b.inner > MAX_INNER || b.states > ROW || b.rank > ROW)
        return PyErr_Format(PyExc_ValueError, "no block of dim %zd, inner %zd, states %zd, rank %zd", b.dim, b.inner,
                            b.states, b.rank);
    const float **weights[] = {&b.norm, &b.in, &b.out, &b.conv, &b.conv_bias, &b.project, &b.dt, &b.dt_bias, &b.A, &b.D};
    const Size count = sizeof weights / sizeof *weights;
    for (Size i = 0; i < count; i++)
        *weights[i] = pointer(at, i);
    const float *tokens = pointer(at, count);
    float *result = pointer(at, count + 1);
    if (PyErr_Occurred())
        return nullptr;

    Size size = b.tokens * b.inner; // a multiple of ROW, so every part starts at a vector's boundary
    float *all = (float *)aligned_alloc(8 * ROW, (5 * b.states * b.inner + 3 * size + ROW) / (2 * ROW) * 8 * ROW);
    if (!all)
        return PyErr_NoMemory();
    float *rest = all + 5 * b.states * b.inner;
    Room room = {rest, rest + size, rest + 2 * size, all};
    Py_BEGIN_ALLOW_THREADS
    for (Size i = 0; i < batch; i++)
        run_block(b, room, tokens + i * b.tokens * b.dim, result + i * b.tokens * b.dim);
    Py_END_ALLOW_THREADS
    free(all);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {{"block", run, METH_VARARGS, nullptr}, {}};

static PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_vim", nullptr, -1, methods};

PyMODINIT_FUNC PyInit__vim(void)
{
    return PyModule_Create(&definition);
}
