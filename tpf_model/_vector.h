// Vectors of N float32 lanes and what the kernels do with them. N is the width of the processor's own vectors: wider
// ones would be legal, and slow.
#pragma once

#include <cstring>

#define INLINE static inline __attribute__((always_inline))

enum { LANES = 16 }; // of the widest

template <int N> struct Lanes {
    typedef float Vec __attribute__((vector_size(4 * N)));
    typedef int Int __attribute__((vector_size(4 * N)));
    typedef double Wide __attribute__((vector_size(8 * N)));
};

template <int N> using Vec = typename Lanes<N>::Vec;
template <int N> using Wide = typename Lanes<N>::Wide;

template <int N> INLINE Vec<N> all(float value)
{
    return Vec<N>{} + value;
}

// N values, or the first `lanes` of them and zeros.
template <int N> INLINE Vec<N> load(const float *from, int lanes = N)
{
    Vec<N> x{};
    if (lanes == N)
        memcpy(&x, from, sizeof x);
    else
        memcpy(&x, from, lanes * sizeof *from);
    return x;
}

template <int N> INLINE void store(float *to, Vec<N> x, int lanes = N)
{
    if (lanes == N)
        memcpy(to, &x, sizeof x);
    else
        memcpy(to, &x, lanes * sizeof *to);
}

INLINE int bits_of(float x)
{
    int bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

template <int N> INLINE float sum_of(Vec<N> x)
{
    float sum = 0;
    for (int i = 0; i < N; i++)
        sum += x[i];
    return sum;
}

template <int N> INLINE float largest_of(Vec<N> x)
{
    float largest = x[0];
    for (int i = 1; i < N; i++)
        largest = x[i] > largest ? x[i] : largest;
    return largest;
}

// table[index mod N]
template <int N> INLINE typename Lanes<N>::Int look_up(typename Lanes<N>::Int table, typename Lanes<N>::Int index)
{
#if defined(__clang__)
    typename Lanes<N>::Int found;
    for (int i = 0; i < N; i++)
        found[i] = table[index[i] & (N - 1)];
    return found;
#else
    return __builtin_shuffle(table, index);
#endif
}

// exp(x) = scale * (1 + rest) for x <= 0: scale a power of two, |rest| < 0.42 and exact to its own last bits.
template <int N> INLINE void split_exp(Vec<N> x, Vec<N> &scale, Vec<N> &rest)
{
    typedef typename Lanes<N>::Int Int;
    const Vec<N> shifter = all<N>(12582912.0f); // 1.5 * 2^23: adding it rounds to an integer
    x = x > -87.0f ? x : all<N>(-87.0f);        // below, exp is as good as zero
    Vec<N> shifted = x * 1.44269504f + shifter;
    Vec<N> whole = shifted - shifter;
    Vec<N> f = x - whole * 0.693359375f + whole * 2.12194440e-4f; // ln 2 in two parts
    Vec<N> p = f * 1.9875691500e-4f + 1.3981999507e-3f;           // Cephes' expf
    p = p * f + 8.3334519073e-3f;
    p = p * f + 4.1665795894e-2f;
    p = p * f + 1.6666665459e-1f;
    p = p * f + 5.0000001201e-1f;
    rest = p * f * f + f;
    scale = (Vec<N>)(((Int)shifted - (Int)shifter + 127) << 23);
}

constexpr float OCTAVE[] = {1.0f,        1.04427378f, 1.09050773f, 1.13878863f, 1.18920712f, 1.24185781f,
                            1.29683955f, 1.35425555f, 1.41421356f, 1.47682615f, 1.54221083f, 1.61049033f,
                            1.68179283f, 1.75625216f, 1.83400809f, 1.91520656f}; // 2^(i / 16)

// Exponents come in steps of 1 / ENTRIES: a table of as many entries an octave as a vector has lanes is one instruction
// where vectors are wide, and leaves so little that a cubic does.
template <int N> constexpr int ENTRIES = N > 4 ? N : 1;
template <int N> constexpr float SHIFTER = 12582912.0f / ENTRIES<N>; // 1.5 * 2^23 steps: adding it rounds to a step

// 2^(shifted - SHIFTER + f) = scale * (1 + rest) for |f| <= a half step; rest is exact to its own last bits.
template <int N> INLINE void split_exp2(Vec<N> shifted, Vec<N> f, Vec<N> &scale, Vec<N> &rest)
{
    typedef typename Lanes<N>::Int Int;
    constexpr int to_exponent = N == 16 ? 19 : N == 8 ? 20 : 23;
    Int bits = (Int)shifted << to_exponent;
    Vec<N> p;
    if constexpr (ENTRIES<N> > 1) {
        Int table;
        for (int i = 0; i < N; i++)
            table[i] = bits_of(OCTAVE[i * 16 / N]) - (i << to_exponent); // less what the shift adds to it
        bits += look_up<N>(table, (Int)shifted);
        p = f * 5.549622e-2f + 2.4025763e-1f;
    } else {
        bits += 127 << 23;
        p = f * 1.5353362e-4f + 1.33988747e-3f;
        p = p * f + 9.61843736e-3f;
        p = p * f + 5.55033247e-2f;
        p = p * f + 2.40226479e-1f;
    }
    rest = (p * f + 0.69314720f) * f;
    scale = (Vec<N>)bits;
}

// 2^x - 1 for |x| <= 126, exact to its own last bits where it is small.
template <int N> INLINE Vec<N> exp2m1_of(Vec<N> x)
{
    Vec<N> shifted = x + SHIFTER<N>, scale, rest;
    split_exp2<N>(shifted, x - (shifted - SHIFTER<N>), scale, rest);
    return scale * rest + (scale - 1.0f);
}

// 2^x - 1 for -FRACTION <= x <= 0, exact to its own last bits.
constexpr float FRACTION = 0.67f;

template <int N> INLINE Vec<N> fraction_exp2m1_of(Vec<N> x)
{
    Vec<N> p = x * 1.09945412e-3f + 9.48437164e-3f;
    p = p * x + 5.54721758e-2f;
    p = p * x + 2.40223801e-1f;
    return (p * x + 6.93147143e-1f) * x;
}

// Beyond 87 each way exp is as good as zero or infinite.
template <int N> INLINE Vec<N> exp_of(Vec<N> x)
{
    x = x > -87.0f ? x : all<N>(-87.0f);
    x = x < 87.0f ? x : all<N>(87.0f);
    Vec<N> shifted = x * 1.44269504f + SHIFTER<N>, steps = shifted - SHIFTER<N>;
    Vec<N> f = x - steps * 0.693359375f + steps * 2.12194440e-4f; // ln 2 in two parts
    Vec<N> scale, rest;
    split_exp2<N>(shifted, f * 1.44269504f, scale, rest);
    return scale * rest + scale;
}

template <int N> INLINE Vec<N> expm1_of(Vec<N> x)
{
    Vec<N> scale, rest;
    split_exp<N>(x, scale, rest);
    return scale * rest + (scale - 1.0f);
}

// log(1 + exp(x)) = max(x, 0) + log(1 + e) with e = exp(-|x|) <= 1, where a polynomial is exact to its own last bits.
template <int N> INLINE Vec<N> softplus_of(Vec<N> x)
{
    Vec<N> e = exp_of<N>(x < 0.0f ? x : -x);
    Vec<N> p = e * 5.23265488e-3f - 2.9505081e-2f;
    p = p * e + 7.82256949e-2f;
    p = p * e - 1.3663224e-1f;
    p = p * e + 1.91059965e-1f;
    p = p * e - 2.48429796e-1f;
    p = p * e + 3.33190965e-1f;
    p = p * e - 4.99994931e-1f;
    p = p * e + 9.9999997e-1f;
    return (x < 0.0f ? all<N>(0) : x) + p * e;
}

template <int N> INLINE Vec<N> silu_of(Vec<N> x)
{
    return x / (exp_of<N>(-x) + 1.0f);
}

// 1 / sqrt(x) for x > 0, from the exponent's half by Newton's steps.
template <int N> INLINE Vec<N> inverse_root_of(Vec<N> x)
{
    typedef typename Lanes<N>::Int Int;
    Vec<N> y = (Vec<N>)(0x5f3759df - ((Int)x >> 1));
    for (int i = 0; i < 3; i++)
        y *= 1.5f - 0.5f * x * y * y;
    return y;
}

// first and second, joined, at each of `index`.
template <int N> INLINE Vec<N> pick(Vec<N> first, Vec<N> second, typename Lanes<N>::Int index)
{
#if defined(__clang__)
    Vec<N> picked;
    for (int i = 0; i < N; i++)
        picked[i] = index[i] < N ? first[index[i]] : second[index[i] - N];
    return picked;
#else
    return __builtin_shuffle(first, second, index);
#endif
}

// Lane j of vector i becomes lane i of vector j: first in squares of four lanes, by what is one instruction everywhere,
// then squares of half the side change places until the side is four.
template <int N> INLINE void transpose(Vec<N> *rows)
{
    typename Lanes<N>::Int low, high, even, odd;
    for (int i = 0; i < N; i++) {
        int four = i / 4 * 4, pair = i % 4 / 2, other = i % 2 * N;
        low[i] = four + pair + other;
        high[i] = four + 2 + pair + other;
        even[i] = four + i % 2 + pair * N;
        odd[i] = four + 2 + i % 2 + pair * N;
    }
#pragma GCC unroll 4
    for (int i = 0; i < N; i += 4) {
        Vec<N> a = pick<N>(rows[i], rows[i + 1], low), b = pick<N>(rows[i], rows[i + 1], high);
        Vec<N> c = pick<N>(rows[i + 2], rows[i + 3], low), d = pick<N>(rows[i + 2], rows[i + 3], high);
        rows[i] = pick<N>(a, c, even);
        rows[i + 1] = pick<N>(a, c, odd);
        rows[i + 2] = pick<N>(b, d, even);
        rows[i + 3] = pick<N>(b, d, odd);
    }
#pragma GCC unroll 4
    for (int side = 4; side < N; side *= 2) {
        typename Lanes<N>::Int above, below;
        for (int i = 0; i < N; i++) {
            above[i] = i & side ? N + i - side : i;
            below[i] = i & side ? N + i : i + side;
        }
#pragma GCC unroll 8
        for (int pair = 0; pair < N / 2; pair++) {
            int i = pair / side * 2 * side + pair % side;
            Vec<N> first = rows[i], second = rows[i + side];
            rows[i] = pick<N>(first, second, above);
            rows[i + side] = pick<N>(first, second, below);
        }
    }
}

// Defines run_NAME(PARAMETERS), which calls the template NAME with the width that suits the processor.
#if defined(__x86_64__)
#define DISPATCH(NAME, PARAMETERS, ARGUMENTS)                                                       \
    __attribute__((target("avx512f"))) static void NAME##_512 PARAMETERS { NAME<16> ARGUMENTS; }    \
    __attribute__((target("avx2,fma"))) static void NAME##_256 PARAMETERS { NAME<8> ARGUMENTS; }    \
    static void run_##NAME PARAMETERS                                                               \
    {                                                                                               \
        if (__builtin_cpu_supports("avx512f"))                                                      \
            NAME##_512 ARGUMENTS;                                                                   \
        else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))                   \
            NAME##_256 ARGUMENTS;                                                                   \
        else                                                                                        \
            NAME<4> ARGUMENTS;                                                                      \
    }
#else
#define DISPATCH(NAME, PARAMETERS, ARGUMENTS)                                                       \
    static void run_##NAME PARAMETERS { NAME<4> ARGUMENTS; }
#endif
