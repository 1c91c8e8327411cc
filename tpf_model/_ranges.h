// Sizes, and how kernels share them out.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "_vector.h"

typedef Py_ssize_t Size;

INLINE Size smaller(Size a, Size b)
{
    return a < b ? a : b;
}

INLINE Size rounded_up(Size size, Size unit)
{
    return (size + unit - 1) / unit * unit;
}

struct Range {
    Size first, last;

    Range(Size first, Size last) : first(first), last(last) {}

    // The part-th of `parts` about equal ranges of `total`, in units of `unit`.
    Range(Size total, Size unit, int part, int parts)
    {
        Size units = (total + unit - 1) / unit;
        first = smaller(units * part / parts * unit, total);
        last = smaller(units * (part + 1) / parts * unit, total);
    }
};
