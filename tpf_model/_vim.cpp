// A whole ViM block on a CPU, for inference: vim_native.py prepares the weights, vim.py is the definition.
//
// The tokens are taken in chunks, so short that what a block computes inside never leaves the nearest cache. The lanes
// of a vector are inner channels. The scan is carried from chunk to chunk as in selective_scan/_native.cpp. Threads
// share a block by tokens, and by the direction where it scans: the result does not depend on their number.

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <cstdlib>

#include "_vector.h"

typedef Py_ssize_t Size;

enum { CHUNK = 32, TAPS = 4, ROW = 16, MAX_INNER = 64, MAX_STATES = 16, TOGETHER = 4 };
enum { INTERFACE = 1 }; // vim_native.py expects it

// Sizes and weights; rows are padded with zeros to ROW. norm (2, ROW), scale and shift; in (dim, 2 inner); out (inner,
// ROW); of each direction: conv (TAPS, inner); conv bias, dt bias and D, inner each; project (inner, inner + 2 ROW), to
// dt, B and C; A (MAX_STATES, inner), zero where there are fewer states.
struct Block {
    Size tokens, dim, inner, states;
    const float *norm, *in, *out, *conv, *conv_bias, *project, *dt_bias, *A, *D;
};

// Where a block's inner tensors are: x (tokens, inner) between TAPS - 1 rows of zeros on either side, and of the tokens
// gate and both directions' y (tokens, inner).
struct Room {
    float *x, *gate, *y[2];
};

INLINE Size smaller(Size a, Size b)
{
    return a < b ? a : b;
}

// products = rows (CHUNK, count) @ matrix (count, width), of as many rows as are in `length` rounded up to TOGETHER.
// Rows begin `stride` and products `width` apart.
template <int N>
INLINE void multiply(const float *rows, Size length, Size stride, Size count, const float *matrix, Size width,
                     float *products)
{
    for (Size row = 0; row < length; row += TOGETHER)
        for (Size o = 0; o < width; o += N) {
            Vec<N> sums[TOGETHER] = {};
            for (Size i = 0; i < count; i++) {
                Vec<N> weights = load<N>(matrix + i * width + o);
                for (Size j = 0; j < TOGETHER; j++)
                    sums[j] += rows[(row + j) * stride + i] * weights;
            }
            for (Size j = 0; j < TOGETHER; j++)
                store<N>(products + (row + j) * width + o, sums[j]);
        }
}

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

// Normalise and project the tokens from `first` to `last`, to x and to the gate, which also goes through its SiLU.
template <int N> INLINE void enter(const Block &b, const Room &room, const float *tokens, Size first, Size last)
{
    const Size E = b.inner;
    float normed[CHUNK * ROW] = {}, projected[CHUNK * 2 * MAX_INNER];
    for (Size begin = first; begin < last; begin += CHUNK) {
        Size length = smaller(CHUNK, last - begin);
        for (Size s = 0; s < length; s++)
            normalise(b, tokens + (begin + s) * b.dim, normed + s * ROW);
        multiply<N>(normed, length, ROW, b.dim, b.in, 2 * E, projected);
        for (Size s = 0; s < length; s++)
            for (Size k = 0; k < E; k += N) {
                store<N>(room.x + (begin + s) * E + k, load<N>(projected + s * 2 * E + k));
                store<N>(room.gate + (begin + s) * E + k, silu_of<N>(load<N>(projected + s * 2 * E + E + k)));
            }
    }
}

// What the scan of a chunk needs of each of its tokens; B and C are the last 2 ROW of `projected`.
struct Chunk {
    float inside[CHUNK * MAX_INNER], projected[CHUNK * (MAX_INNER + 2 * ROW)];
    float dt[CHUNK * MAX_INNER], in[CHUNK * MAX_INNER];
};

// The states of the N channels from `k` on through a chunk, GROUP states at a time, which stay in registers. Adds to y,
// whose tokens are `step` apart. STEEP: exp(dt A) may be smaller than float32's smallest number.
template <int N, bool STEEP>
INLINE void run_chunk(const Chunk &c, Size length, Size E, Size k, Size states, const float *A, Wide<N> *entry,
                      float *y, Size step)
{
    constexpr int GROUP = N > 4 ? N / 4 : 2; // as many as there are registers for
    const Size width = E + 2 * ROW;
    Vec<N> elapsed{};
    for (Size s = 0; s < length; s++)
        elapsed += load<N>(c.dt + s * E + k);
    for (Size first = 0; first < states; first += GROUP) {
        Vec<N> rates[GROUP], local[GROUP] = {}, passed[GROUP];
        for (int n = 0; n < GROUP; n++) {
            rates[n] = load<N>(A + (first + n) * E + k) * 1.44269504f;
            passed[n] = __builtin_convertvector(entry[first + n], Vec<N>);
        }
        for (Size s = 0; s < length; s++) {
            const float *B = c.projected + s * width + E + first, *C = B + ROW;
            Vec<N> dt = load<N>(c.dt + s * E + k), in = load<N>(c.in + s * E + k), out = load<N>(y + s * step + k);
            for (int n = 0; n < GROUP; n++) {
                Vec<N> power = dt * rates[n];
                if constexpr (STEEP)
                    power = power > -126.0f ? power : all<N>(-126.0f);
                Vec<N> decay = exp2_of<N>(power);
                passed[n] *= decay;
                local[n] = decay * local[n] + in * B[n];
                out += C[n] * (local[n] + passed[n]);
            }
            store<N>(y + s * step + k, out);
        }
        for (int n = 0; n < GROUP; n++) {
            Vec<N> decay = expm1_of<N>(load<N>(A + (first + n) * E + k) * elapsed);
            Wide<N> &e = entry[first + n];
            e += __builtin_convertvector(decay, Wide<N>) * e + __builtin_convertvector(local[n], Wide<N>);
        }
    }
}

// The convolution, the projections and the scan of one direction, to its y.
template <int N> INLINE void scan(const Block &b, const Room &room, Size direction)
{
    const Size E = b.inner, width = E + 2 * ROW, step = direction ? -E : E; // from token to token
    const float *conv = b.conv + direction * TAPS * E, *conv_bias = b.conv_bias + direction * E;
    const float *project = b.project + direction * E * width, *dt_bias = b.dt_bias + direction * E;
    const float *A = b.A + direction * MAX_STATES * E, *D = b.D + direction * E;
    Chunk c;
    Wide<N> entry[MAX_INNER / N][MAX_STATES] = {};
    memset(c.inside, 0, sizeof c.inside);
    float steepest = 0;
    for (Size i = 0; i < b.states * E; i++)
        steepest = A[i] < steepest ? A[i] : steepest;
    for (Size begin = 0; begin < b.tokens; begin += CHUNK) {
        Size length = smaller(CHUNK, b.tokens - begin), at = (direction ? b.tokens - 1 - begin : begin) * E;
        const float *x = room.x + at;
        float *y = room.y[direction] + at;
        for (Size s = 0; s < length; s++)
            for (Size k = 0; k < E; k += N) {
                Vec<N> sum = load<N>(conv_bias + k);
                for (int tap = 0; tap < TAPS; tap++)
                    sum += load<N>(conv + tap * E + k) * load<N>(x + (s + tap + 1 - TAPS) * step + k);
                store<N>(c.inside + s * E + k, silu_of<N>(sum));
            }
        multiply<N>(c.inside, length, E, E, project, width, c.projected);
        Vec<N> longest{};
        for (Size s = 0; s < length; s++)
            for (Size k = 0; k < E; k += N) {
                Vec<N> u = load<N>(c.inside + s * E + k);
                Vec<N> dt = softplus_of<N>(load<N>(c.projected + s * width + k) + load<N>(dt_bias + k));
                longest = longest > dt ? longest : dt;
                store<N>(c.dt + s * E + k, dt);
                store<N>(c.in + s * E + k, dt * u);
                store<N>(y + s * step + k, load<N>(D + k) * u);
            }
        float power = 0;
        for (int i = 0; i < N; i++)
            power = longest[i] * steepest < power ? longest[i] * steepest : power;
        for (Size k = 0; k < E; k += N)
            if (power > -80)
                run_chunk<N, false>(c, length, E, k, b.states, A, entry[k / N], y, step);
            else
                run_chunk<N, true>(c, length, E, k, b.states, A, entry[k / N], y, step);
    }
}

// tokens + out-projection of both directions' y * gate, from `first` to `last`.
template <int N>
INLINE void leave(const Block &b, const Room &room, const float *tokens, Size first, Size last, float *result)
{
    const Size E = b.inner;
    float gated[CHUNK * MAX_INNER] = {}, sums[CHUNK * ROW];
    for (Size begin = first; begin < last; begin += CHUNK) {
        Size length = smaller(CHUNK, last - begin);
        for (Size i = 0; i < length * E; i += N) {
            Vec<N> y = load<N>(room.y[0] + begin * E + i) + load<N>(room.y[1] + begin * E + i);
            store<N>(gated + i, y * load<N>(room.gate + begin * E + i));
        }
        multiply<N>(gated, length, E, E, b.out, ROW, sums);
        for (Size s = 0; s < length; s++)
            for (Size i = 0; i < b.dim; i++)
                result[(begin + s) * b.dim + i] = tokens[(begin + s) * b.dim + i] + sums[s * ROW + i];
    }
}

DISPATCH(enter, (const Block &b, const Room &room, const float *tokens, Size first, Size last),
         (b, room, tokens, first, last))
DISPATCH(scan, (const Block &b, const Room &room, Size direction), (b, room, direction))
DISPATCH(leave, (const Block &b, const Room &room, const float *tokens, Size first, Size last, float *result),
         (b, room, tokens, first, last, result))

// One batch entry. OpenMP, so that its threads are PyTorch's own: two pools would wait for each other's processors.
static void run_block(const Block &b, const Room &room, const float *tokens, float *result, int threads)
{
#pragma omp parallel num_threads(threads)
    {
#pragma omp for
        for (int i = 0; i < threads; i++)
            run_enter(b, room, tokens, b.tokens * i / threads, b.tokens * (i + 1) / threads);
#pragma omp for
        for (Size direction = 0; direction < 2; direction++)
            run_scan(b, room, direction);
#pragma omp for
        for (int i = 0; i < threads; i++)
            run_leave(b, room, tokens, b.tokens * i / threads, b.tokens * (i + 1) / threads, result);
    }
}

static float *pointer(PyObject *addresses, Size index)
{
    PyObject *address = PyTuple_GetItem(addresses, index);
    return address ? (float *)PyLong_AsVoidPtr(address) : nullptr;
}

// block(threads, batch, tokens, dim, inner, states, addresses): the addresses of the contiguous float32 arrays of Block
// from norm to D, then those of the tokens and the result, (batch, tokens, dim).
static PyObject *run(PyObject *, PyObject *args)
{
    int threads;
    Size batch;
    PyObject *at;
    Block b;
    if (!PyArg_ParseTuple(args, "innnnnO!", &threads, &batch, &b.tokens, &b.dim, &b.inner, &b.states, &PyTuple_Type,
                          &at))
        return nullptr;
    if (threads < 1 || b.dim > ROW || b.inner % ROW || b.inner > MAX_INNER || b.states > MAX_STATES)
        return PyErr_Format(PyExc_ValueError, "no block of dim %zd, inner %zd, states %zd in %d threads", b.dim,
                            b.inner, b.states, threads);
    const float **weights[] = {&b.norm, &b.in, &b.out, &b.conv, &b.conv_bias, &b.project, &b.dt_bias, &b.A, &b.D};
    const Size count = sizeof weights / sizeof *weights;
    for (Size i = 0; i < count; i++)
        *weights[i] = pointer(at, i);
    const float *tokens = pointer(at, count);
    float *result = pointer(at, count + 1);
    if (PyErr_Occurred())
        return nullptr;

    Size size = b.tokens * b.inner, margin = (TAPS - 1) * b.inner;
    float *x = (float *)malloc((4 * size + 2 * margin) * sizeof(float));
    if (!x)
        return PyErr_NoMemory();
    float *gate = x + size + 2 * margin;
    Room room = {x + margin, gate, {gate + size, gate + 2 * size}};
    Py_BEGIN_ALLOW_THREADS
    memset(x, 0, margin * sizeof(float));
    memset(gate - margin, 0, margin * sizeof(float));
    for (Size i = 0; i < batch; i++)
        run_block(b, room, tokens + i * b.tokens * b.dim, result + i * b.tokens * b.dim, threads);
    Py_END_ALLOW_THREADS
    free(x);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {{"block", run, METH_VARARGS, nullptr}, {}};

static PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_vim", nullptr, -1, methods};

PyMODINIT_FUNC PyInit__vim(void)
{
    PyObject *module = PyModule_Create(&definition);
    if (module && PyModule_AddIntConstant(module, "INTERFACE", INTERFACE))
        Py_CLEAR(module);
    return module;
}
