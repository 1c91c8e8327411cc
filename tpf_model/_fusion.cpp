// The whole fusion adapter on a CPU, for inference: fusion_native.py prepares the weights, fusion.py and vim.py are the
// definition.
//
// Tokens are stored by channel, the lanes of a vector are tokens; but in the scan, which goes from token to token, they
// are inner channels. So channels are swapped and joined by taking other rows, and blocks add to their tokens in place.
// Tokens are taken in chunks, so short that what is computed inside never leaves the nearest cache. Threads share
// images and tokens by ranges, scans by block and direction: the result does not depend on their number.

#include <cstdlib>

#include "_ranges.h"
#include "_vector.h"

enum { INTERFACE = 1 }; // fusion_native.py expects it
enum { WIDTH = 8, KERNEL = 5, COLOURS = 3, STATES = 16, TAPS = 4, CHUNK = 32 };
enum { MARGIN = 16 }; // tokens before a row, of which TAPS - 1 are read and zero, as are as many after it

// Weights of a block, as PyTorch has them but for these: `in` holds the norm's scale and takes the tokens' mean away,
// rates are A log2(e).
template <int E> struct Direction {
    float conv[E][TAPS], conv_bias[E], project[1 + 2 * STATES][E], dt[E], dt_bias[E], rates[STATES][E], D[E];
};

template <int DIM> struct Block {
    enum { INNER = 2 * DIM };
    float in[2 * INNER][DIM], in_bias[2 * INNER];
    Direction<INNER> directions[2];
    float out[DIM][INNER];
};

struct Stem {
    float weight[WIDTH][COLOURS][KERNEL][KERNEL], bias[WIDTH];
};

// After it come the decoder's, which depend on the token stride: bias and [TILE^2][2 WIDTH] products, each of as many
// outputs as are COLOURS * stride^2 rounded up to LANES.
struct Weights {
    Stem visible_stem, thermal_stem;
    Block<WIDTH> visible, thermal, token;
    Block<2 * WIDTH> channel;
    float decoder[];
};

// Steps from one value to the next.
struct Image {
    const void *data;
    Size plane, row, pixel;
};

// The inner tensors of a block over `tokens` tokens: x and gate by channel, rows `stride` apart; y of each direction by
// token.
struct Inside {
    Size tokens, stride;
    float *x, *gate, *y[2];
};

struct Job {
    Size token_stride, rows, columns; // of pixels
    Size h, w, tokens;
    bool bytes;                       // images of uint8, else float32
    Image visible, thermal;
    const Weights *weights;
    Inside both[2], joined, channels;
    float *x_rows[2 * WIDTH]; // tokens by channel: visible, thermal
    float *grid;              // decoder's input by token, with zeros around it
    float *scratch;
    Size scratch_size;
    float *fused;
};

// Between rows of `length`, with both margins; odd in units of 64 bytes, or a cache would put a column in one place.
INLINE Size row_stride(Size length)
{
    return rounded_up(length + MARGIN + TAPS - 1, LANES) | LANES;
}

// ---- images to tokens -----------------------------------------------------------------------------------------------

INLINE float value_of(float pixel)
{
    return pixel;
}

INLINE float value_of(unsigned char pixel)
{
    return pixel * (1.0f / 255);
}

// A row of a plane, in [0, 1] where it is of 8 bit.
template <typename T> INLINE void read_row(const Image &image, Size plane, Size row, Size length, float *to)
{
    const T *from = (const T *)image.data + plane * image.plane + row * image.row;
    auto read = [&](Size step) {
        for (Size i = 0; i < length; i++)
            to[i] = value_of(from[i * step]);
    };
    if (image.pixel == COLOURS) // the usual steps, so that the compiler knows them
        read(COLOURS);
    else if (image.pixel == 1)
        read(1);
    else
        read(image.pixel);
}

// A row of pixels as the stem's windows meet it: that of column S i + phase - (the stem's padding) at
// to[phase * pitch + i]. The last row and column are repeated to whole tokens, around are zeros. plain: room for them.
template <typename T, int S>
INLINE void read_window(const Job &job, const Image &image, Size plane, Size row, Size pitch, float *plain, float *to)
{
    constexpr Size PADDING = (KERNEL + 1 - S) / 2;
    memset(to, 0, S * pitch * sizeof *to);
    if (row < 0 || row >= job.h * S)
        return;
    read_row<T>(image, plane, smaller(row, job.rows - 1), job.columns, plain);
    for (Size column = job.columns; column < job.w * S; column++)
        plain[column] = plain[job.columns - 1];
    for (Size phase = 0; phase < S; phase++) {
        Size first = phase < PADDING ? (PADDING - phase + S - 1) / S : 0, offset = phase - PADDING;
        for (Size i = first; S * i + offset < job.w * S; i++)
            to[phase * pitch + i] = plain[S * i + offset];
    }
}

// The stem's pitch of pixels of one phase: what N tokens from any one on read.
INLINE Size stem_pitch(Size w)
{
    return rounded_up(w, LANES) + LANES;
}

// A modality's tokens of rows first to last. An image whose planes are all the same one is taken as one plane.
template <int N, typename T, int S>
INLINE void see(const Job &job, const Image &image, const Stem &stem, float *const *tokens, Size first, Size last,
                float *pixels)
{
    const Size planes = image.plane ? COLOURS : 1, pitch = stem_pitch(job.w);
    float *plain = pixels + COLOURS * KERNEL * S * pitch;
    float weights[COLOURS * KERNEL * KERNEL][WIDTH] = {};
    for (Size j = 0; j < WIDTH; j++)
        for (Size i = 0; i < COLOURS * KERNEL * KERNEL; i++)
            weights[i % (planes * KERNEL * KERNEL)][j] += (&stem.weight[j][0][0][0])[i];
    for (Size y = first; y < last; y++) {
        for (Size plane = 0; plane < planes; plane++)
            for (Size dy = 0; dy < KERNEL; dy++)
                read_window<T, S>(job, image, plane, S * y + dy - (KERNEL + 1 - S) / 2, pitch, plain,
                                  pixels + (plane * KERNEL + dy) * S * pitch);
        for (Size x = 0; x < job.w; x += N) {
            Vec<N> sums[WIDTH];
            for (int j = 0; j < WIDTH; j++)
                sums[j] = all<N>(stem.bias[j]);
            for (Size i = 0; i < planes * KERNEL; i++)
                for (int dx = 0; dx < KERNEL; dx++) {
                    Vec<N> pixel = load<N>(pixels + (i * S + dx % S) * pitch + x + dx / S);
                    for (int j = 0; j < WIDTH; j++)
                        sums[j] += weights[i * KERNEL + dx][j] * pixel;
                }
            for (int j = 0; j < WIDTH; j++)
                store<N>(tokens[j] + y * job.w + x, sums[j], smaller(N, job.w - x));
        }
    }
}

// ---- blocks ---------------------------------------------------------------------------------------------------------

// to[row] = bias[row] + weights[row] . in, for a chunk of tokens; without a bias from zero.
template <int N, int ROWS, int COUNT>
INLINE void multiply(const float (*weights)[COUNT], const float *bias, const float (*in)[CHUNK], float (*to)[CHUNK])
{
    constexpr int MOST = N > 8 ? 8 : 4, TOGETHER = ROWS < MOST ? ROWS : MOST, SPAN = 2; // as registers allow
    for (Size t = 0; t < CHUNK; t += SPAN * N)
        for (Size row = 0; row < ROWS; row += TOGETHER) {
            Vec<N> sums[TOGETHER][SPAN];
            for (int j = 0; j < TOGETHER; j++)
                for (int k = 0; k < SPAN; k++)
                    sums[j][k] = bias ? all<N>(bias[row + j]) : Vec<N>{};
            for (Size i = 0; i < COUNT; i++) {
                Vec<N> x[SPAN];
                for (int k = 0; k < SPAN; k++)
                    x[k] = load<N>(in[i] + t + k * N);
                for (int j = 0; j < TOGETHER; j++)
                    for (int k = 0; k < SPAN; k++)
                        sums[j][k] += weights[row + j][i] * x[k];
            }
            for (int j = 0; j < TOGETHER; j++)
                for (int k = 0; k < SPAN; k++)
                    store<N>(to[row + j] + t + k * N, sums[j][k]);
        }
}

// Layer norm of a chunk of tokens, without scale and shift, which the weights after it hold.
template <int N, int DIM> INLINE void normalise(const float *const *tokens, Size begin, float (*normed)[CHUNK])
{
    for (Size t = 0; t < CHUNK; t += N) {
        Vec<N> mean{}, variance{};
        for (int i = 0; i < DIM; i++)
            mean += load<N>(tokens[i] + begin + t);
        mean *= 1.0f / DIM;
        for (int i = 0; i < DIM; i++) {
            Vec<N> x = load<N>(tokens[i] + begin + t) - mean;
            variance += x * x;
            store<N>(normed[i] + t, x);
        }
        Vec<N> scale = inverse_root_of<N>(variance * (1.0f / DIM) + 1e-5f);
        for (int i = 0; i < DIM; i++)
            store<N>(normed[i] + t, load<N>(normed[i] + t) * scale);
    }
}

// Normalise and project tokens `first` to `last`, to x and to the gate behind its SiLU; there they begin at `at`.
template <int N, int DIM>
INLINE void enter(const Block<DIM> &b, const float *const *tokens, Size first, Size last, const Inside &inside, Size at)
{
    constexpr int E = 2 * DIM;
    alignas(64) float normed[DIM][CHUNK], projected[2 * E][CHUNK];
    for (Size begin = first; begin < last; begin += CHUNK) {
        normalise<N, DIM>(tokens, begin, normed);
        multiply<N, 2 * E, DIM>(b.in, b.in_bias, normed, projected);
        Size length = smaller(CHUNK, last - begin);
        for (Size k = 0; k < E; k++)
            for (Size t = 0; t < length; t += N) {
                const Size to = k * inside.stride + at + begin + t, lanes = smaller(N, length - t);
                store<N>(inside.x + to, load<N>(projected[k] + t), lanes);
                store<N>(inside.gate + to, silu_of<N>(load<N>(projected[E + k] + t)), lanes);
            }
    }
}

// to (COLUMNS, ROWS) = from (ROWS, COLUMNS), transposed.
template <int N, int ROWS, int COLUMNS> INLINE void turn(const float *from, Size stride, float *to)
{
    for (Size row = 0; row < ROWS; row += N)
        for (Size column = 0; column < COLUMNS; column += N) {
            Vec<N> square[N];
            for (int i = 0; i < N; i++)
                square[i] = load<N>(from + (row + i) * stride + column);
            transpose<N>(square);
            for (int i = 0; i < N; i++)
                store<N>(to + (column + i) * ROWS + row, square[i]);
        }
}

// What the scan of a chunk needs of each of its tokens.
template <int E> struct Chunk {
    alignas(64) float projected[1 + 2 * STATES][CHUNK]; // step sizes' cause, B, C
    alignas(64) float u[CHUNK][E], dt[CHUNK][E];
};

// How far below 0 the powers of 2 lie that are a chunk's decays: by FRACTION at most, or anywhere float32 has them, or
// further.
enum Decays { SLOW, ORDINARY, STEEP };

// A decay - 1, exact to its own last bits.
template <int N, Decays DECAYS> INLINE Vec<N> change_of(Vec<N> power)
{
    if constexpr (DECAYS == SLOW)
        return fraction_exp2m1_of<N>(power);
    if constexpr (DECAYS == STEEP)
        power = power > -126.0f ? power : all<N>(-126.0f);
    return exp2m1_of<N>(power);
}

template <int N> constexpr int GROUP = N > 8 ? 4 : 2; // states that go through a chunk together, in registers

// A group of states, from `first` on, of the N channels from `k` on through a chunk; adds to y, which begins at the
// chunk's first token. What the chunk is entered with is kept apart from how far the state has come from it,
//
//     h = entry + moved     moved' = moved + (decay - 1) h + in B
//
// so float32 never has to tell exp(-1e-6) from 1 over thousands of tokens.
template <int N, int E, Decays DECAYS>
INLINE void run_group(const Chunk<E> &c, const Direction<E> &d, Size length, bool backward, Size k, Size first,
                      Vec<N> *entries, float *y)
{
    Vec<N> rates[GROUP<N>], entry[GROUP<N>], moved[GROUP<N>] = {};
    for (int n = 0; n < GROUP<N>; n++) {
        rates[n] = load<N>(d.rates[first + n] + k);
        entry[n] = entries[first + n];
    }
    for (Size i = 0; i < length; i++) {
        Size s = backward ? length - 1 - i : i;
        const float *B = c.projected[1 + first] + s, *C = c.projected[1 + STATES + first] + s;
        Vec<N> dt = load<N>(c.dt[s] + k), in = dt * load<N>(c.u[s] + k), out = load<N>(y + s * E + k);
        for (int n = 0; n < GROUP<N>; n++) {
            Vec<N> change = change_of<N, DECAYS>(dt * rates[n]);
            moved[n] = moved[n] + in * B[n * CHUNK] + change * (entry[n] + moved[n]);
            out += C[n * CHUNK] * (entry[n] + moved[n]);
        }
        store<N>(y + s * E + k, out);
    }
    for (int n = 0; n < GROUP<N>; n++)
        entries[first + n] += moved[n];
}

// The steepest rate of each group of states of the N channels from `k` on.
template <int N, int E> INLINE void find_steepest(const Direction<E> &d, Size k, float *steepest)
{
    for (Size first = 0; first < STATES; first += GROUP<N>, steepest++) {
        Vec<N> rates{};
        for (int n = 0; n < GROUP<N>; n++) {
            Vec<N> rate = -load<N>(d.rates[first + n] + k);
            rates = rates > rate ? rates : rate;
        }
        *steepest = largest_of<N>(rates);
    }
}

// The convolution, the projections and the scan of one direction, to its y.
template <int N, int E> INLINE void scan_direction(const Direction<E> &d, const Inside &inside, bool backward, float *y)
{
    Chunk<E> c;
    alignas(64) float turned[E][CHUNK]; // by channel
    Vec<N> entries[E / N][STATES] = {};
    const Size step = backward ? 1 : -1; // to the token before, in the direction's order
    float steepest[E / N][STATES / GROUP<N>];
    for (Size k = 0; k < E; k += N)
        find_steepest<N>(d, k, steepest[k / N]);
    for (Size done = 0; done < inside.tokens; done += CHUNK) {
        Size length = smaller(CHUNK, inside.tokens - done), begin = backward ? inside.tokens - done - length : done;
        for (Size k = 0; k < E; k++)
            for (Size t = 0; t < CHUNK; t += N) {
                const float *x = inside.x + k * inside.stride + begin + t;
                Vec<N> sum = all<N>(d.conv_bias[k]);
                for (int tap = 0; tap < TAPS; tap++)
                    sum += d.conv[k][tap] * load<N>(x + (TAPS - 1 - tap) * step);
                store<N>(turned[k] + t, silu_of<N>(sum));
            }
        multiply<N, 1, E>(d.project, nullptr, turned, c.projected);
        multiply<N, 2 * STATES, E>(d.project + 1, nullptr, turned, c.projected + 1);
        turn<N, E, CHUNK>(turned[0], CHUNK, c.u[0]);
        Vec<N> longest[E / N] = {};
        for (Size s = 0; s < length; s++)
            for (Size k = 0; k < E; k += N) {
                Vec<N> dt = softplus_of<N>(c.projected[0][s] * load<N>(d.dt + k) + load<N>(d.dt_bias + k));
                longest[k / N] = longest[k / N] > dt ? longest[k / N] : dt;
                store<N>(c.dt[s] + k, dt);
                store<N>(y + (begin + s) * E + k, load<N>(d.D + k) * load<N>(c.u[s] + k));
            }
        for (Size k = 0; k < E; k += N) {
            const float most = largest_of<N>(longest[k / N]);
            for (Size first = 0; first < STATES; first += GROUP<N>) {
                const float power = most * steepest[k / N][first / GROUP<N>];
                if (power <= FRACTION)
                    run_group<N, E, SLOW>(c, d, length, backward, k, first, entries[k / N], y + begin * E);
                else if (power < 120)
                    run_group<N, E, ORDINARY>(c, d, length, backward, k, first, entries[k / N], y + begin * E);
                else
                    run_group<N, E, STEEP>(c, d, length, backward, k, first, entries[k / N], y + begin * E);
            }
        }
    }
}

// Adds the out-projection of both directions' y * gate, which begin at `at`, to tokens `first` to `last`.
template <int N, int DIM>
INLINE void leave(const Block<DIM> &b, const Inside &inside, Size at, float *const *tokens, Size first, Size last)
{
    constexpr int E = 2 * DIM;
    alignas(64) float y[CHUNK][E], gated[E][CHUNK], added[DIM][CHUNK];
    for (Size begin = first; begin < last; begin += CHUNK) {
        const float *forward = inside.y[0] + (at + begin) * E, *backward = inside.y[1] + (at + begin) * E;
        for (Size i = 0; i < CHUNK * E; i += N)
            store<N>(y[0] + i, load<N>(forward + i) + load<N>(backward + i));
        turn<N, CHUNK, E>(y[0], E, gated[0]);
        for (Size k = 0; k < E; k++)
            for (Size t = 0; t < CHUNK; t += N)
                store<N>(gated[k] + t,
                         load<N>(gated[k] + t) * load<N>(inside.gate + k * inside.stride + at + begin + t));
        multiply<N, DIM, E>(b.out, nullptr, gated, added);
        Size length = smaller(CHUNK, last - begin);
        for (Size i = 0; i < DIM; i++)
            for (Size s = 0; s < length; s++)
                tokens[i][begin + s] += added[i][s];
    }
}

// ---- tokens to the image --------------------------------------------------------------------------------------------

// The decoder's convolution by Winograd's way (Lavin and Gray, 2016): 2 x 2 tokens of output from 6 x 6 of input, with
// 36 products where there would be 100. Interpolated at 0, 1, -1, 2, -1/2 and infinity: other points lose more digits.
enum { TILE = 6, OUT = 2, TILES = 8 };
constexpr float INPUT[TILE][TILE] = {{1, 1.5f, -2, -1.5f, 1, 0}, {0, 2, 5, 1, -2, 0},  {0, 2, 1, -5, 2, 0},
                                     {0, -1, -2, 1, 2, 0},       {0, -2, 1, 2, -1, 0}, {0, 1, 1.5f, -2, -1.5f, 1}};
constexpr float OUTPUT[OUT][TILE] = {{1, 1, 1, 1, 1, 0}, {0, 1, -1, 2, -0.5f, 1}};

// to[i] = matrix[i] . from
template <int N, int ROWS> INLINE void transform(const float (*matrix)[TILE], const Vec<N> *from, Vec<N> *to)
{
#pragma GCC unroll 6
    for (int i = 0; i < ROWS; i++) {
        to[i] = Vec<N>{};
#pragma GCC unroll 6
        for (int j = 0; j < TILE; j++)
            if (matrix[i][j] != 0)
                to[i] += matrix[i][j] * from[j];
    }
}

// Across the decoder's grid of tokens and down; the tiles in it.
INLINE Size tiles(Size tokens)
{
    return (tokens + OUT - 1) / OUT;
}

INLINE Size grid_side(Size tokens)
{
    return tiles(tokens) * OUT + KERNEL - 1;
}

// Tokens `first` to `last`, by channel, into the grid.
template <int N> INLINE void lay_out(const Job &job, float *const *tokens, Size first, Size last)
{
    constexpr int C = 2 * WIDTH;
    alignas(64) float turned[CHUNK][C], rows[C][CHUNK];
    for (Size begin = first; begin < last; begin += CHUNK) {
        for (Size i = 0; i < C; i++)
            memcpy(rows[i], tokens[i] + begin, sizeof rows[i]);
        turn<N, C, CHUNK>(rows[0], CHUNK, turned[0]);
        for (Size s = 0; s < smaller(CHUNK, last - begin); s++) {
            Size y = (begin + s) / job.w, x = (begin + s) % job.w;
            memcpy(job.grid + ((y + KERNEL / 2) * grid_side(job.w) + x + KERNEL / 2) * C, turned[s], sizeof turned[s]);
        }
    }
}

INLINE constexpr int outputs(int token_stride)
{
    return (COLOURS * token_stride * token_stride + LANES - 1) / LANES * LANES;
}

// The decoder's outputs of a row of tiles, to decoded (OUT, tokens across, WIDE). columns: room for what is transformed
// down already.
template <int N, int WIDE>
INLINE void decode_tiles(const Job &job, Size tile_row, float *columns, float *decoded)
{
    constexpr int C = 2 * WIDTH;
    const Size across = grid_side(job.w), count = tiles(job.w);
    const float *bias = job.weights->decoder, *products = bias + WIDE, *grid = job.grid + tile_row * OUT * across * C;
    for (Size i = 0; i < across * C; i += N) {
        Vec<N> from[TILE], to[TILE];
        for (int j = 0; j < TILE; j++)
            from[j] = load<N>(grid + j * across * C + i);
        transform<N, TILE>(INPUT, from, to);
        for (int j = 0; j < TILE; j++)
            store<N>(columns + j * across * C + i, to[j]);
    }
    alignas(64) float in[TILE * TILE][TILES][C] = {}, out[TILE * TILE][TILES][WIDE];
    for (Size begin = 0; begin < count; begin += TILES) {
        Size length = smaller(TILES, count - begin);
        for (Size tile = 0; tile < length; tile++)
            for (Size j = 0; j < TILE; j++)
                for (Size i = 0; i < C; i += N) {
                    Vec<N> from[TILE], to[TILE];
                    for (int x = 0; x < TILE; x++)
                        from[x] = load<N>(columns + (j * across + (begin + tile) * OUT + x) * C + i);
                    transform<N, TILE>(INPUT, from, to);
                    for (int x = 0; x < TILE; x++)
                        store<N>(in[j * TILE + x][tile] + i, to[x]);
                }
        for (Size p = 0; p < TILE * TILE; p++)
            for (Size o = 0; o < WIDE; o += N) {
                Vec<N> sums[TILES] = {};
                for (Size i = 0; i < C; i++) {
                    Vec<N> weight = load<N>(products + (p * C + i) * WIDE + o);
                    for (int tile = 0; tile < TILES; tile++)
                        sums[tile] += in[p][tile][i] * weight;
                }
                for (int tile = 0; tile < TILES; tile++)
                    store<N>(out[p][tile] + o, sums[tile]);
            }
        for (Size tile = 0; tile < length; tile++)
            for (Size o = 0; o < WIDE; o += N) {
                Vec<N> half[TILE][OUT];
                for (int j = 0; j < TILE; j++) {
                    Vec<N> from[TILE];
                    for (int x = 0; x < TILE; x++)
                        from[x] = load<N>(out[j * TILE + x][tile] + o);
                    transform<N, OUT>(OUTPUT, from, half[j]);
                }
                for (int x = 0; x < OUT; x++) {
                    Vec<N> from[TILE], to[OUT];
                    for (int j = 0; j < TILE; j++)
                        from[j] = half[j][x];
                    transform<N, OUT>(OUTPUT, from, to);
                    float *result = decoded + ((begin + tile) * OUT + x) * WIDE + o;
                    for (int y = 0; y < OUT; y++)
                        store<N>(result + y * count * OUT * WIDE, to[y] + load<N>(bias + o));
                }
            }
    }
}

// The mean of both images and the pixel shuffle of a row of tokens. visible, thermal: room for a row of pixels.
template <typename T, int S>
INLINE void write_row(const Job &job, Size y, const float *decoded, float *visible, float *thermal)
{
    for (Size row = S * y; row < smaller(S * y + S, job.rows); row++)
        for (Size colour = 0; colour < COLOURS; colour++) {
            const float *added = decoded + (colour * S + row % S) * S;
            float *to = job.fused + (colour * job.rows + row) * job.columns;
            read_row<T>(job.visible, colour, row, job.columns, visible);
            if (colour == 0 || job.thermal.plane) // else it is there already
                read_row<T>(job.thermal, colour, row, job.columns, thermal);
            for (Size column = 0; column < job.columns; column++)
                to[column] = (visible[column] + thermal[column]) * 0.5f;
            for (Size x = 0; x < job.columns / S; x++) // whole tokens: S is known to the compiler
                for (Size i = 0; i < S; i++)
                    to[S * x + i] += added[x * outputs(S) + i];
            for (Size column = job.columns / S * S; column < job.columns; column++)
                to[column] += added[column / S * outputs(S) + column % S];
        }
}

// ---- the adapter ----------------------------------------------------------------------------------------------------

// The zeros that a convolution finds before and after the tokens.
INLINE void clear_margins(const Inside &inside, Size E)
{
    for (Size k = 0; k < E; k++) {
        float *row = inside.x + k * inside.stride;
        memset(row - (TAPS - 1), 0, (TAPS - 1) * sizeof *row);
        memset(row + inside.tokens, 0, (TAPS - 1) * sizeof *row);
    }
}

// CALL with T and S for the job's images and token stride.
#define WITH_IMAGES(CALL)                                                                                              \
    if (job.bytes) {                                                                                                   \
        typedef unsigned char T;                                                                                       \
        WITH_STRIDE(CALL)                                                                                              \
    } else {                                                                                                           \
        typedef float T;                                                                                               \
        WITH_STRIDE(CALL)                                                                                              \
    }
#define WITH_STRIDE(CALL)                                                                                              \
    if (job.token_stride == 4) {                                                                                       \
        constexpr int S = 4;                                                                                           \
        CALL;                                                                                                          \
    } else if (job.token_stride == 2) {                                                                                \
        constexpr int S = 2;                                                                                           \
        CALL;                                                                                                          \
    } else {                                                                                                           \
        constexpr int S = 1;                                                                                           \
        CALL;                                                                                                          \
    }

// Images to tokens, which enter their blocks.
template <int N> INLINE void begin(const Job &job, int part, int parts)
{
    const Weights &w = *job.weights;
    float *scratch = job.scratch + part * job.scratch_size;
    Range rows(job.h, 1, part, parts);
    if (part == 0) {
        clear_margins(job.both[0], 2 * WIDTH);
        clear_margins(job.both[1], 2 * WIDTH);
        memset(job.grid, 0, grid_side(job.h) * grid_side(job.w) * 2 * WIDTH * sizeof(float));
    }
    for (int modality = 0; modality < 2; modality++) {
        const Image &image = modality ? job.thermal : job.visible;
        const Stem &stem = modality ? w.thermal_stem : w.visible_stem;
        float *const *tokens = job.x_rows + modality * WIDTH;
        WITH_IMAGES((see<N, T, S>(job, image, stem, tokens, rows.first, rows.last, scratch)))
        enter<N, WIDTH>(modality ? w.thermal : w.visible, tokens, rows.first * job.w, rows.last * job.w,
                        job.both[modality], 0);
    }
}

// The decoder's grid to the fused image.
template <int N> INLINE void end(const Job &job, int part, int parts)
{
    float *columns = job.scratch + part * job.scratch_size, *decoded = columns + TILE * grid_side(job.w) * 2 * WIDTH;
    const Size row_size = tiles(job.w) * OUT * outputs(job.token_stride);
    float *visible = decoded + OUT * row_size, *thermal = visible + job.columns;
    Range rows(tiles(job.h), 1, part, parts);
    for (Size row = rows.first; row < rows.last; row++) {
        if (outputs(job.token_stride) == outputs(4))
            decode_tiles<N, outputs(4)>(job, row, columns, decoded);
        else
            decode_tiles<N, outputs(1)>(job, row, columns, decoded);
        for (Size y = row * OUT; y < smaller(row * OUT + OUT, job.h); y++)
            WITH_IMAGES((write_row<T, S>(job, y, decoded + (y - row * OUT) * row_size, visible, thermal)))
    }
}

// Tokens by channel behind the swap, half the channels of one image's from the other's.
INLINE void swap_rows(const Job &job, float **visible, float **thermal)
{
    for (int i = 0; i < WIDTH; i++) {
        visible[i] = job.x_rows[i % 2 ? WIDTH + i : i];
        thermal[i] = job.x_rows[i % 2 ? i : WIDTH + i];
    }
}

// Both images' blocks are left, the swapped tokens enter the block over all tokens.
template <int N> INLINE void join(const Job &job, int part, int parts)
{
    const Weights &w = *job.weights;
    Range range(job.tokens, CHUNK, part, parts);
    float *visible[WIDTH], *thermal[WIDTH];
    swap_rows(job, visible, thermal);
    if (part == 0)
        clear_margins(job.joined, 2 * WIDTH);
    leave<N, WIDTH>(w.visible, job.both[0], 0, job.x_rows, range.first, range.last);
    leave<N, WIDTH>(w.thermal, job.both[1], 0, job.x_rows + WIDTH, range.first, range.last);
    enter<N, WIDTH>(w.token, visible, range.first, range.last, job.joined, 0);
    enter<N, WIDTH>(w.token, thermal, range.first, range.last, job.joined, job.tokens);
}

// That is left, its tokens of both images enter the block over all channels.
template <int N> INLINE void widen(const Job &job, int part, int parts)
{
    const Weights &w = *job.weights;
    Range range(job.tokens, CHUNK, part, parts);
    float *rows[2 * WIDTH];
    swap_rows(job, rows, rows + WIDTH);
    if (part == 0)
        clear_margins(job.channels, 4 * WIDTH);
    leave<N, WIDTH>(w.token, job.joined, 0, rows, range.first, range.last);
    leave<N, WIDTH>(w.token, job.joined, job.tokens, rows + WIDTH, range.first, range.last);
    enter<N, 2 * WIDTH>(w.channel, rows, range.first, range.last, job.channels, 0);
}

// The channels' block is left, its tokens are laid out for the decoder.
template <int N> INLINE void narrow(const Job &job, int part, int parts)
{
    Range range(job.tokens, CHUNK, part, parts);
    float *rows[2 * WIDTH];
    swap_rows(job, rows, rows + WIDTH);
    leave<N, 2 * WIDTH>(job.weights->channel, job.channels, 0, rows, range.first, range.last);
    lay_out<N>(job, rows, range.first, range.last);
}

// Scan number `index` of a stage: of each block one a direction.
template <int N> INLINE void scan(const Job &job, int stage, int index)
{
    const Weights &w = *job.weights;
    const Inside &inside = stage == 0 ? job.both[index / 2] : stage == 1 ? job.joined : job.channels;
    float *y = inside.y[index % 2];
    if (stage == 2)
        scan_direction<N, 4 * WIDTH>(w.channel.directions[index], inside, index, y);
    else
        scan_direction<N, 2 * WIDTH>((stage == 1 ? w.token : index < 2 ? w.visible : w.thermal).directions[index % 2],
                                     inside, index % 2, y);
}

DISPATCH(begin, (const Job &job, int part, int parts), (job, part, parts))
DISPATCH(join, (const Job &job, int part, int parts), (job, part, parts))
DISPATCH(widen, (const Job &job, int part, int parts), (job, part, parts))
DISPATCH(narrow, (const Job &job, int part, int parts), (job, part, parts))
DISPATCH(end, (const Job &job, int part, int parts), (job, part, parts))
DISPATCH(scan, (const Job &job, int stage, int index), (job, stage, index))

// One parallel region. OpenMP, so that its threads are PyTorch's own: two pools would wait for each other's processors.
static void run_job(const Job &job, int threads)
{
    void (*const between[])(const Job &, int, int) = {run_begin, run_join, run_widen, run_narrow, run_end};
#pragma omp parallel num_threads(threads)
    for (int stage = 0; stage < 5; stage++) {
#pragma omp for schedule(static)
        for (int part = 0; part < threads; part++)
            between[stage](job, part, threads);
        int scans = stage == 0 ? 4 : stage < 3 ? 2 : 0;
#pragma omp for schedule(static)
        for (int index = 0; index < scans; index++)
            run_scan(job, stage, index);
    }
}

// Puts the job's arrays into one allocation, which is returned; null where there is no memory. Blocks follow each
// other, so they share x and y; a gate is read while the next is written. Whole chunks are read, beyond the last
// token too, and nothing comes of that.
static float *allocate(Job &job, int threads)
{
    const Size C = 2 * WIDTH, E = 2 * C, single = row_stride(job.tokens), twice = row_stride(2 * job.tokens);
    const Size y = E * (job.tokens + CHUNK), x = 2 * MARGIN + CHUNK + (twice > 2 * single ? twice : 2 * single) * C;
    const Size grid = grid_side(job.h) * grid_side(job.w) * C;
    const Size see = (COLOURS * KERNEL + 1) * job.token_stride * stem_pitch(job.w);
    const Size decode = grid_side(job.w) * (TILE * C + OUT * outputs(job.token_stride)) + 2 * job.columns;
    job.scratch_size = rounded_up(see > decode ? see : decode, LANES);
    const Size sizes[] = {C * single + CHUNK, x, x, x, y, y, grid, threads * job.scratch_size};
    float *at[sizeof sizes / sizeof *sizes];
    Size total = 0;
    for (Size size : sizes)
        total += rounded_up(size, LANES);
    float *room = (float *)aligned_alloc(LANES * sizeof(float), total * sizeof(float));
    if (!room)
        return nullptr;
    total = 0;
    for (Size i = 0; i < (Size)(sizeof sizes / sizeof *sizes); i++) {
        at[i] = room + total;
        total += rounded_up(sizes[i], LANES);
    }
    for (Size i = 0; i < C; i++)
        job.x_rows[i] = at[0] + i * single;
    for (Size i = 0; i < 2; i++) {
        Size rows = i * C * single, first = i * C * (job.tokens + CHUNK);
        job.both[i] = {job.tokens, single, at[1] + MARGIN + rows, at[2] + rows, {at[4] + first, at[5] + first}};
    }
    job.joined = {2 * job.tokens, twice, at[1] + MARGIN, at[3], {at[4], at[5]}};
    job.channels = {job.tokens, single, at[1] + MARGIN, at[2], {at[4], at[5]}};
    job.grid = at[6];
    job.scratch = at[7];
    return room;
}

static bool read_image(PyObject *args, Image &image)
{
    PyObject *address;
    if (!PyArg_ParseTuple(args, "Onnn", &address, &image.plane, &image.row, &image.pixel))
        return false;
    image.data = PyLong_AsVoidPtr(address);
    return !PyErr_Occurred();
}

// fuse(threads, token_stride, rows, columns, bytes, visible, thermal, weights, count, fused): images as (address,
// strides of planes, rows and pixels), of float32 or, with `bytes`, uint8; addresses of `count` floats of weights and
// of the contiguous float32 (COLOURS, rows, columns) result.
static PyObject *fuse(PyObject *, PyObject *args)
{
    int threads, bytes;
    Size count;
    PyObject *visible, *thermal, *weights, *fused;
    Job job;
    if (!PyArg_ParseTuple(args, "innnpO!O!OnO", &threads, &job.token_stride, &job.rows, &job.columns, &bytes,
                          &PyTuple_Type, &visible, &PyTuple_Type, &thermal, &weights, &count, &fused) ||
        !read_image(visible, job.visible) || !read_image(thermal, job.thermal))
        return nullptr;
    job.bytes = bytes;
    job.weights = (const Weights *)PyLong_AsVoidPtr(weights);
    job.fused = (float *)PyLong_AsVoidPtr(fused);
    if (PyErr_Occurred())
        return nullptr;
    const Size S = job.token_stride;
    const Size wanted = sizeof(Weights) / sizeof(float) + (1 + TILE * TILE * 2 * WIDTH) * outputs(S);
    if (threads < 1 || (S != 1 && S != 2 && S != 4) || job.rows < 1 || job.columns < 1 || count != wanted)
        return PyErr_Format(PyExc_ValueError, "no adapter of token stride %zd, %zd weights, for %zd x %zd pixels", S,
                            count, job.rows, job.columns);
    job.h = (job.rows + S - 1) / S;
    job.w = (job.columns + S - 1) / S;
    job.tokens = job.h * job.w;
    float *room = allocate(job, threads);
    if (!room)
        return PyErr_NoMemory();
    Py_BEGIN_ALLOW_THREADS
    run_job(job, threads);
    Py_END_ALLOW_THREADS
    free(room);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {{"fuse", fuse, METH_VARARGS, nullptr}, {}};

static PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_fusion", nullptr, -1, methods};

PyMODINIT_FUNC PyInit__fusion(void)
{
    PyObject *module = PyModule_Create(&definition);
    if (module && PyModule_AddIntConstant(module, "INTERFACE", INTERFACE))
        Py_CLEAR(module);
    return module;
}
