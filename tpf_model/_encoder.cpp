// The blocks of a Vision Transformer on a CPU, for inference: encoder_native.py prepares the weights, backbone.py is
// the definition.
//
// Nearly all of it are products of matrices, and one small kernel computes them: some rows of the left matrix by a
// panel of the right one, whose sums never leave the registers. A panel is as many columns as are two vectors, stored
// row by row, so that it is read as it lies; every width here is whole panels. Only attention looks at other tokens, so
// threads share tokens by ranges and wait for each other twice a block: the result does not depend on their number. A
// thread takes its tokens in chunks, so short that what is computed of them stays in the second cache.

#include <cmath>
#include <cstdlib>

#include "_ranges.h"
#include "_vector.h"

enum { INTERFACE = 1 }; // encoder_native.py expects it
enum { CHUNK = 24, EXPANSION = 4 };
enum { MOST_ROWS = 12 };

template <int N> constexpr int ROWS = N > 8 ? MOST_ROWS : 6; // of a product in registers, as these allow
template <int N> constexpr int COLUMNS = 2 * N;              // of a panel

// weights: panels, (outputs / COLUMNS, inputs, COLUMNS).
struct Linear {
    Size inputs, outputs;
    const float *weights, *bias;
};

// The norms' scale and shift are in the weights after them, the attention's scale in those of the queries.
struct Block {
    Linear qkv, out, widen, narrow;
};

struct Job {
    Size tokens, width, heads, depth; // depth: channels of a head
    const float *weights;             // of one block after the other
    float *x;                         // (tokens, width), in place
    float *qkv;                       // (tokens, 3, heads, depth)
    float *keys, *values;             // of each head panels: of the transposed keys, of the values
    float *scratch;
    Size scratch_size; // of each thread
};

// ROWS rows of a, of which those after the last of `rows` are that one again, by a panel.
template <int N>
INLINE void multiply(const float *a, Size stride, Size rows, const float *panel, Size depth, Vec<N> (*sums)[2])
{
    const float *from[ROWS<N>];
#pragma GCC unroll 12
    for (int r = 0; r < ROWS<N>; r++) {
        from[r] = a + smaller(r, rows - 1) * stride;
        sums[r][0] = sums[r][1] = Vec<N>{};
    }
    for (Size k = 0; k < depth; k++) {
        Vec<N> left = load<N>(panel + k * COLUMNS<N>), right = load<N>(panel + k * COLUMNS<N> + N);
#pragma GCC unroll 12
        for (int r = 0; r < ROWS<N>; r++) {
            sums[r][0] += from[r][k] * left;
            sums[r][1] += from[r][k] * right;
        }
    }
}

// x times the normal distribution's share below x, which is to 8e-8 by Abramowitz and Stegun (1964), 7.1.26.
template <int N> INLINE Vec<N> gelu_of(Vec<N> x)
{
    Vec<N> size = x < 0.0f ? -x : x, t = 1.0f / (size * 0.231641888f + 1.0f);
    Vec<N> p = t * 0.5307027145f - 0.7265760135f;
    p = p * t + 0.7107068705f;
    p = p * t - 0.142248368f;
    p = p * t + 0.127414796f;
    Vec<N> beyond = p * t * exp_of<N>(x * x * -0.5f); // the share above |x|
    return (x < 0.0f ? all<N>(0) : x) - size * beyond;
}

// Rows of x by the layer's weights, to rows of `to` or, with ADD, added to them.
template <int N, bool ADD> INLINE void apply(const Linear &layer, const float *x, Size rows, float *to)
{
    for (Size column = 0; column < layer.outputs; column += COLUMNS<N>) {
        const Vec<N> bias[] = {load<N>(layer.bias + column), load<N>(layer.bias + column + N)};
        for (Size row = 0; row < rows; row += ROWS<N>) {
            Vec<N> sums[ROWS<N>][2];
            multiply<N>(x + row * layer.inputs, layer.inputs, rows - row, layer.weights + column * layer.inputs,
                        layer.inputs, sums);
#pragma GCC unroll 12
            for (int r = 0; r < ROWS<N>; r++)
                for (int side = 0; side < 2 && row + r < rows; side++) {
                    float *at = to + (row + r) * layer.outputs + column + side * N;
                    Vec<N> y = sums[r][side] + bias[side];
                    store<N>(at, ADD ? y + load<N>(at) : y);
                }
        }
    }
}

// Layer norm of rows, without scale and shift.
template <int N> INLINE void normalise(const float *x, Size rows, Size width, float *to)
{
    for (Size row = 0; row < rows; row++, x += width, to += width) {
        Vec<N> sum{}, squares{};
        for (Size i = 0; i < width; i += N)
            sum += load<N>(x + i);
        const float mean = sum_of<N>(sum) / width;
        for (Size i = 0; i < width; i += N) {
            Vec<N> away = load<N>(x + i) - mean;
            squares += away * away;
        }
        const float scale = 1 / std::sqrt(sum_of<N>(squares) / width + 1e-6f);
        for (Size i = 0; i < width; i += N)
            store<N>(to + i, (load<N>(x + i) - mean) * scale);
    }
}

// Scores of a row: as many as there are keys, in whole panels.
template <int N> INLINE Size scores_of(Size tokens)
{
    return rounded_up(tokens, COLUMNS<N>);
}

// exp(scores - the largest) of a row in place, as good as zero behind the last key; returns their sum.
template <int N> INLINE float exponentials(float *scores, Size tokens)
{
    const Size padded = scores_of<N>(tokens);
    for (Size i = tokens; i < padded; i++)
        scores[i] = -1e30f;
    Vec<N> most = load<N>(scores), sum{};
    for (Size i = N; i < padded; i += N) {
        Vec<N> x = load<N>(scores + i);
        most = most > x ? most : x;
    }
    const float largest = largest_of<N>(most);
    for (Size i = 0; i < padded; i += N) {
        Vec<N> x = exp_of<N>(load<N>(scores + i) - largest);
        store<N>(scores + i, x);
        sum += x;
    }
    return sum_of<N>(sum);
}

// The queries of a head, `rows` from token `first` on, to rows of `to`.
template <int N> INLINE void attend(const Job &job, Size head, Size first, Size rows, float *scores, float *to)
{
    const Size stride = 3 * job.width, padded = scores_of<N>(job.tokens);
    const float *queries = job.qkv + first * stride + head * job.depth;
    const float *keys = job.keys + head * padded * job.depth, *values = job.values + head * job.tokens * job.depth;
    Vec<N> sums[ROWS<N>][2];
    for (Size column = 0; column < padded; column += COLUMNS<N>)
        for (Size row = 0; row < rows; row += ROWS<N>) {
            multiply<N>(queries + row * stride, stride, rows - row, keys + column * job.depth, job.depth, sums);
#pragma GCC unroll 12
            for (int r = 0; r < ROWS<N>; r++)
                for (int side = 0; side < 2; side++)
                    store<N>(scores + (row + r) * padded + column + side * N, sums[r][side]);
        }
    float shares[CHUNK];
    for (Size row = 0; row < rows; row++)
        shares[row] = 1 / exponentials<N>(scores + row * padded, job.tokens);
    for (Size k = 0; k < job.depth; k += COLUMNS<N>)
        for (Size row = 0; row < rows; row += ROWS<N>) {
            multiply<N>(scores + row * padded, padded, rows - row, values + k * job.tokens, job.tokens, sums);
#pragma GCC unroll 12
            for (int r = 0; r < ROWS<N>; r++)
                for (int side = 0; side < 2 && row + r < rows; side++)
                    store<N>(to + (row + r) * job.width + head * job.depth + k + side * N,
                             sums[r][side] * shares[row + r]);
        }
}

// ---- stages of a block ----------------------------------------------------------------------------------------------

// A thread's tokens of the last `count`, in chunks of about equal length.
template <int N> struct Chunks {
    static_assert(CHUNK % ROWS<N> == 0, "a chunk is whole products");
    Range range;
    Size before, rows;
    int number;

    Chunks(const Job &job, Size count, int part, int parts) : range(count, ROWS<N>, part, parts)
    {
        before = job.tokens - count + range.first;
        rows = range.last - range.first;
        number = (rows + CHUNK - 1) / CHUNK;
    }

    Range operator[](int i) const
    {
        Range chunk(rows, ROWS<N>, i, number);
        return {before + chunk.first, before + chunk.last};
    }
};

// Tokens to queries, keys and values.
template <int N> INLINE void enter(const Job &job, const Block &block, int part, int parts)
{
    float *normed = job.scratch + part * job.scratch_size;
    const Chunks<N> chunks(job, job.tokens, part, parts);
    for (int i = 0; i < chunks.number; i++) {
        const Range chunk = chunks[i];
        const Size rows = chunk.last - chunk.first;
        normalise<N>(job.x + chunk.first * job.width, rows, job.width, normed);
        apply<N, false>(block.qkv, normed, rows, job.qkv + chunk.first * 3 * job.width);
    }
}

// Keys and values as panels.
template <int N> INLINE void lay_out(const Job &job, int part, int parts)
{
    const Size stride = 3 * job.width, padded = scores_of<N>(job.tokens);
    Range range(padded, COLUMNS<N>, part, parts);
    for (Size head = 0; head < job.heads; head++) {
        const float *key = job.qkv + job.width + head * job.depth, *value = key + job.width;
        float *keys = job.keys + head * padded * job.depth, *values = job.values + head * job.tokens * job.depth;
        for (Size token = range.first; token < range.last; token += N)
            for (Size k = 0; k < job.depth; k += N) {
                Vec<N> square[N];
                for (int i = 0; i < N; i++)
                    square[i] = load<N>(key + smaller(token + i, job.tokens - 1) * stride + k);
                transpose<N>(square);
                float *to = keys + token / COLUMNS<N> * COLUMNS<N> * job.depth + token % COLUMNS<N>;
                for (int i = 0; i < N; i++)
                    store<N>(to + (k + i) * COLUMNS<N>, square[i]);
            }
        for (Size token = range.first; token < smaller(range.last, job.tokens); token++)
            for (Size k = 0; k < job.depth; k += N)
                store<N>(values + k / COLUMNS<N> * COLUMNS<N> * job.tokens + token * COLUMNS<N> + k % COLUMNS<N>,
                         load<N>(value + token * stride + k));
    }
}

// What is added to the last `count` tokens: attention, then the two layers.
template <int N> INLINE void leave(const Job &job, const Block &block, Size count, int part, int parts)
{
    float *small = job.scratch + part * job.scratch_size, *large = small + CHUNK * job.width;
    const Chunks<N> chunks(job, count, part, parts);
    for (int i = 0; i < chunks.number; i++) {
        const Range chunk = chunks[i];
        const Size rows = chunk.last - chunk.first;
        float *x = job.x + chunk.first * job.width;
        for (Size head = 0; head < job.heads; head++)
            attend<N>(job, head, chunk.first, rows, large, small);
        apply<N, true>(block.out, small, rows, x);
        normalise<N>(x, rows, job.width, small);
        apply<N, false>(block.widen, small, rows, large);
        // On its own: its constants would take registers from the sums.
        for (Size i = 0; i < rows * EXPANSION * job.width; i += N)
            store<N>(large + i, gelu_of<N>(load<N>(large + i)));
        apply<N, true>(block.narrow, large, rows, x);
    }
}

template <int N> INLINE void columns_here(Size &columns)
{
    columns = COLUMNS<N>;
}

DISPATCH(enter, (const Job &job, const Block &block, int part, int parts), (job, block, part, parts))
DISPATCH(lay_out, (const Job &job, int part, int parts), (job, part, parts))
DISPATCH(leave, (const Job &job, const Block &block, Size count, int part, int parts), (job, block, count, part, parts))
DISPATCH(columns_here, (Size & columns), (columns))

INLINE Size weights_of_block(Size width)
{
    return width * ((4 + 2 * EXPANSION) * width + 5 + EXPANSION);
}

// The layer of the next weights, which are left behind.
INLINE Linear take(const float *&weights, Size inputs, Size outputs)
{
    Linear layer = {inputs, outputs, weights, weights + outputs * inputs};
    weights += outputs * (inputs + 1);
    return layer;
}

static Block block_at(const Job &job, Size index)
{
    const Size C = job.width;
    const float *at = job.weights + index * weights_of_block(C);
    Block block;
    block.qkv = take(at, C, 3 * C);
    block.out = take(at, C, C);
    block.widen = take(at, C, EXPANSION * C);
    block.narrow = take(at, EXPANSION * C, C);
    return block;
}

// One parallel region. OpenMP, so that its threads are PyTorch's own: two pools would wait for each other's processors.
static void run_job(const Job &job, Size blocks, Size kept, int threads)
{
#pragma omp parallel num_threads(threads)
    for (Size i = 0; i < blocks; i++) {
        const Block block = block_at(job, i);
#pragma omp for schedule(static)
        for (int part = 0; part < threads; part++)
            run_enter(job, block, part, threads);
#pragma omp for schedule(static)
        for (int part = 0; part < threads; part++)
            run_lay_out(job, part, threads);
        // The next block's tokens are this thread's own again: nobody is waited for.
#pragma omp for schedule(static) nowait
        for (int part = 0; part < threads; part++)
            run_leave(job, block, i + 1 < blocks ? job.tokens : kept, part, threads);
    }
}

// Puts the job's arrays into one allocation, which is returned; null where there is no memory.
static float *allocate(Job &job, Size columns, int threads)
{
    const Size padded = rounded_up(job.tokens, columns), hidden = EXPANSION * job.width;
    // Where scores are, a product's rows beyond the last are written, too.
    job.scratch_size = CHUNK * job.width + (CHUNK + MOST_ROWS) * (padded > hidden ? padded : hidden);
    const Size qkv = job.tokens * 3 * job.width, panels = padded * job.width;
    const Size total = rounded_up(qkv + 2 * panels + threads * job.scratch_size, LANES);
    float *room = (float *)aligned_alloc(LANES * sizeof(float), total * sizeof(float));
    job.qkv = room, job.keys = room + qkv, job.values = job.keys + panels, job.scratch = job.values + panels;
    return room;
}

// encode(threads, blocks, tokens, kept, width, heads, x, weights, count): addresses of contiguous float32: x (tokens,
// width), which is written, of its tokens the last `kept` are the result; and of `count` weights.
static PyObject *encode(PyObject *, PyObject *args)
{
    int threads;
    Size blocks, kept, count, columns;
    PyObject *x, *weights;
    Job job;
    if (!PyArg_ParseTuple(args, "innnnnOOn", &threads, &blocks, &job.tokens, &kept, &job.width, &job.heads, &x,
                          &weights, &count))
        return nullptr;
    job.x = (float *)PyLong_AsVoidPtr(x);
    job.weights = (const float *)PyLong_AsVoidPtr(weights);
    if (PyErr_Occurred())
        return nullptr;
    run_columns_here(columns);
    if (threads < 1 || job.heads < 1 || job.width < 1 || job.width % (job.heads * columns) || kept < 1 ||
        kept > job.tokens || count != blocks * weights_of_block(job.width))
        return PyErr_Format(PyExc_ValueError, "no %zd blocks of %zd heads, %zd channels, %zd weights, for %zd tokens",
                            blocks, job.heads, job.width, count, job.tokens);
    job.depth = job.width / job.heads;
    float *room = allocate(job, columns, threads);
    if (!room)
        return PyErr_NoMemory();
    Py_BEGIN_ALLOW_THREADS
    run_job(job, blocks, kept, threads);
    Py_END_ALLOW_THREADS
    free(room);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {{"encode", encode, METH_VARARGS, nullptr}, {}};

static PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_encoder", nullptr, -1, methods};

PyMODINIT_FUNC PyInit__encoder(void)
{
    Size columns;
    run_columns_here(columns);
    PyObject *module = PyModule_Create(&definition);
    if (module && (PyModule_AddIntConstant(module, "COLUMNS", columns) ||
                   PyModule_AddIntConstant(module, "INTERFACE", INTERFACE)))
        Py_CLEAR(module);
    return module;
}
