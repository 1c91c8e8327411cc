/* Sixteen float32 lanes, whatever the processor's vectors are, and what the kernels do with them. */

#include <string.h>

enum { LANES = 16 };

typedef float Vec __attribute__((vector_size(4 * LANES)));
typedef int Int __attribute__((vector_size(4 * LANES)));
typedef double Wide __attribute__((vector_size(8 * LANES)));

#define INLINE static inline __attribute__((always_inline))

/* exp(x) = scale * (1 + rest) for x <= 0: scale a power of two, |rest| < 0.42 and exact to its own last bits. */
INLINE void split_exp(Vec x, Vec *scale, Vec *rest)
{
    const Vec shifter = (Vec){} + 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    const Int least = (Int)((Vec){} - 87.0f), normal = x > -87.0f; /* below, exp is as good as zero */
    x = (Vec)(((Int)x & normal) | (least & ~normal));
    Vec shifted = x * 1.44269504f + shifter;
    Vec whole = shifted - shifter;
    Vec f = x - whole * 0.693359375f + whole * 2.12194440e-4f; /* ln 2 in two parts */
    Vec p = f * 1.9875691500e-4f + 1.3981999507e-3f;           /* Cephes' expf */
    p = p * f + 8.3334519073e-3f;
    p = p * f + 4.1665795894e-2f;
    p = p * f + 1.6666665459e-1f;
    p = p * f + 5.0000001201e-1f;
    *rest = p * f * f + f;
    Int exponent = (Int)shifted - (Int)shifter + 127;
    *scale = (Vec)(exponent << 23);
}

INLINE Vec exp_of(Vec x)
{
    Vec scale, rest;
    split_exp(x, &scale, &rest);
    return scale * rest + scale;
}

INLINE Vec expm1_of(Vec x)
{
    Vec scale, rest;
    split_exp(x, &scale, &rest);
    return scale * rest + (scale - 1.0f);
}

INLINE float sum_of(Vec x)
{
    float sum = 0;
    for (int i = 0; i < LANES; i++)
        sum += x[i];
    return sum;
}

/* Up to LANES values of a token, the missing ones 0. */
INLINE Vec load(const float *from, int lanes)
{
    Vec x = {};
    if (lanes == LANES)
        memcpy(&x, from, sizeof x);
    else
        memcpy(&x, from, lanes * sizeof *from);
    return x;
}

INLINE void store(float *to, Vec x, int lanes)
{
    if (lanes == LANES)
        memcpy(to, &x, sizeof x);
    else
        memcpy(to, &x, lanes * sizeof *to);
}

/* One version for each vector width; which of them runs is chosen by what the processor has. */
#if defined(__x86_64__)
#define VERSION(features) __attribute__((target(features)))
#define HAS(feature) __builtin_cpu_supports(feature)
#else
#define VERSION(features)
#define HAS(feature) 0
#endif

#define VERSIONS(name, parameters, arguments)                         \
    VERSION("avx512f") static void name##_512 parameters { name arguments; } \
    VERSION("avx2,fma") static void name##_256 parameters { name arguments; } \
    static void name##_any parameters { name arguments; }             \
    static void run_##name parameters                                 \
    {                                                                 \
        if (HAS("avx512f"))                                           \
            name##_512 arguments;                                     \
        else if (HAS("avx2") && HAS("fma"))                           \
            name##_256 arguments;                                     \
        else                                                          \
            name##_any arguments;                                     \
    }
