// The selective scan on a CPU, fused: forward and backward. native.py says what it computes and why in this form.
//
// The channels of one group run side by side as the lanes of a vector, all states of a token before the next token. A
// chunk of tokens starts from a zero state; what the chunk was entered with is carried beside it in double:
//
//     local[t] = decay[t] * local[t - 1] + x[t] B[t]      passed[t] = decay[t] * passed[t - 1], passed[-1] = 1
//     h[t] = local[t] + passed[t] * entry                 entry' = entry + expm1(A sum dt) * entry + local[end]
//
// so float32 never has to tell exp(-1e-6) from 1 over thousands of tokens.

#include <cstdlib>

#include "../_ranges.h"
#include "../_vector.h"

enum { CHUNK = 32, WIDEST = 16, INTERFACE = 1 }; // INTERFACE: native.py expects it

// Lengths, and one group of one batch entry: u, delta, y (tokens, channels); A (channels, states); B, C (tokens, states);
// entries: what each chunk is entered with, chunks * states vectors for each vector of channels.
struct Group {
    Size tokens, channels, states, chunks;
    const float *u, *delta, *A, *B, *C;
    float *entries;
};

// Gradients of the loss, as the inputs are laid out; dB and dC are added to.
struct Gradients {
    const float *y;
    float *u, *delta, *A, *B, *C;
};

// Decay rates of the channels from `first` on, for each state.
template <int N> INLINE void load_rates(const Group &g, Size first, int lanes, Vec<N> *rates)
{
    for (Size n = 0; n < g.states; n++) {
        rates[n] = Vec<N>{};
        for (int i = 0; i < lanes; i++)
            rates[n][i] = g.A[(first + i) * g.states + n];
    }
}

template <int N> INLINE void start_chunk(Vec<N> *local, Vec<N> *passed, Size states)
{
    for (Size n = 0; n < states; n++) {
        local[n] = Vec<N>{};
        passed[n] = all<N>(1);
    }
}

template <int N> INLINE void carry(Wide<N> *entry, const Vec<N> *rates, Vec<N> elapsed, const Vec<N> *local, Size states)
{
    for (Size n = 0; n < states; n++)
        entry[n] += __builtin_convertvector(expm1_of<N>(rates[n] * elapsed), Wide<N>) * entry[n] +
                    __builtin_convertvector(local[n], Wide<N>);
}

enum { FORWARD_ROOM = 6, BACKWARD_ROOM = 6 + 2 * (CHUNK + 1) }; // vectors a state, a wide one counts twice

// y = sum over states of C h.
template <int N> INLINE void forward_group(const Group &g, float *y, float *room)
{
    Size S = g.states;
    Wide<N> *entry = (Wide<N> *)room;
    Vec<N> *rates = (Vec<N> *)(entry + S), *local = rates + S, *passed = local + S, *entered = passed + S;
    for (Size first = 0; first < g.channels; first += N) {
        int lanes = smaller(N, g.channels - first);
        Vec<N> *saved = (Vec<N> *)g.entries + first / N * g.chunks * S;
        load_rates<N>(g, first, lanes, rates);
        memset(entry, 0, S * sizeof *entry);
        for (Size begin = 0; begin < g.tokens; begin += CHUNK) {
            Vec<N> elapsed{};
            start_chunk<N>(local, passed, S);
            for (Size n = 0; n < S; n++)
                entered[n] = __builtin_convertvector(entry[n], Vec<N>);
            memcpy(saved + begin / CHUNK * S, entered, S * sizeof *entered);
            for (Size t = begin; t < smaller(begin + CHUNK, g.tokens); t++) {
                const float *B = g.B + t * S, *C = g.C + t * S;
                Vec<N> dt = load<N>(g.delta + t * g.channels + first, lanes);
                Vec<N> x = dt * load<N>(g.u + t * g.channels + first, lanes), out{};
                for (Size n = 0; n < S; n++) {
                    Vec<N> decay = exp_of<N>(dt * rates[n]);
                    passed[n] *= decay;
                    local[n] = decay * local[n] + x * B[n];
                    out += C[n] * (local[n] + passed[n] * entered[n]);
                }
                store<N>(y + t * g.channels + first, out, lanes);
                elapsed += dt;
            }
            carry<N>(entry, rates, elapsed, local, S);
        }
    }
}

// With g[t] the gradient to h[t], g[t] = C[t] dy[t] + decay[t + 1] g[t + 1]: the same recurrence from the end, carried the
// same way.
template <int N> INLINE void backward_group(const Group &g, const Gradients &d, float *room)
{
    Size S = g.states;
    Wide<N> *entry = (Wide<N> *)room;
    Vec<N> *rates = (Vec<N> *)(entry + S), *dA = rates + S, *local = dA + S, *passed = local + S;
    Vec<N> *states = passed + S, *decays = states + (CHUNK + 1) * S; // states[t + 1] is h[t] of the chunk
    for (Size first = 0; first < g.channels; first += N) {
        int lanes = smaller(N, g.channels - first);
        const Vec<N> *saved = (const Vec<N> *)g.entries + first / N * g.chunks * S;
        load_rates<N>(g, first, lanes, rates);
        memset(entry, 0, S * sizeof *entry);
        memset(dA, 0, S * sizeof *dA);
        for (Size chunk = g.chunks - 1; chunk >= 0; chunk--) {
            Size begin = chunk * CHUNK, length = smaller(CHUNK, g.tokens - begin);
            Vec<N> elapsed{};
            memcpy(states, saved + chunk * S, S * sizeof *states);
            for (Size t = 0; t < length; t++) {
                Size at = (begin + t) * g.channels + first;
                const float *B = g.B + (begin + t) * S;
                Vec<N> dt = load<N>(g.delta + at, lanes), x = dt * load<N>(g.u + at, lanes);
                for (Size n = t * S; n < (t + 1) * S; n++) {
                    decays[n] = exp_of<N>(dt * rates[n - t * S]);
                    states[S + n] = decays[n] * states[n] + x * B[n - t * S];
                }
                elapsed += dt;
            }
            start_chunk<N>(local, passed, S);
            for (Size t = length - 1; t >= 0; t--) {
                Size token = begin + t, at = token * g.channels + first;
                const float *B = g.B + token * S, *C = g.C + token * S;
                Vec<N> dt = load<N>(g.delta + at, lanes), u = load<N>(g.u + at, lanes), dy = load<N>(d.y + at, lanes);
                Vec<N> x = dt * u, dx{}, ddt{};
                for (Size n = 0; n < S; n++) {
                    Vec<N> decay = decays[t * S + n];
                    local[n] += C[n] * dy;
                    Vec<N> dh = local[n] + passed[n] * __builtin_convertvector(entry[n], Vec<N>);
                    d.C[token * S + n] += sum_of<N>(dy * states[(t + 1) * S + n]);
                    d.B[token * S + n] += sum_of<N>(dh * x);
                    dx += dh * B[n];
                    Vec<N> exponent = dh * decay * states[t * S + n]; // gradient to dt * rates
                    dA[n] += exponent * dt;
                    ddt += exponent * rates[n];
                    local[n] *= decay;
                    passed[n] *= decay;
                }
                store<N>(d.u + at, dx * dt, lanes);
                store<N>(d.delta + at, ddt + dx * u, lanes);
            }
            carry<N>(entry, rates, elapsed, local, S);
        }
        for (Size n = 0; n < S; n++)
            for (int i = 0; i < lanes; i++)
                d.A[(first + i) * S + n] += dA[n][i];
    }
}

DISPATCH(forward_group, (const Group &g, float *y, float *room), (g, y, room))
DISPATCH(backward_group, (const Group &g, const Gradients &d, float *room), (g, d, room))

// What both entry points are called with: groups [begin, end) of batch entries * groups, the sizes, and the addresses of
// contiguous float32 arrays. Group i is group i % groups of batch entry i / groups.
struct Call {
    Size begin, end, groups, tokens, channels, states;
    float *arrays[12];

    bool read(PyObject *args, int count)
    {
        PyObject *addresses;
        if (!PyArg_ParseTuple(args, "nnnnnnO!", &begin, &end, &groups, &tokens, &channels, &states, &PyTuple_Type,
                              &addresses))
            return false;
        for (int i = 0; i < count; i++) {
            PyObject *address = PyTuple_GetItem(addresses, i);
            arrays[i] = address ? (float *)PyLong_AsVoidPtr(address) : nullptr;
        }
        return !PyErr_Occurred();
    }

    Group group(Size i) const
    {
        Size rows = i * tokens, chunks = (tokens + CHUNK - 1) / CHUNK;
        Size padded = (channels + WIDEST - 1) / WIDEST * WIDEST;
        return {tokens,
                channels,
                states,
                chunks,
                arrays[0] + rows * channels,
                arrays[1] + rows * channels,
                arrays[2] + i % groups * channels * states,
                arrays[3] + rows * states,
                arrays[4] + rows * states,
                arrays[5] + i * padded * chunks * states};
    }
};

static float *allocate(Size vectors)
{
    return (float *)aligned_alloc(2 * 4 * WIDEST, (vectors + vectors % 2) * 4 * WIDEST);
}

// forward(begin, end, groups, tokens, channels, states, (u, delta, A, B, C, entries, y))
static PyObject *forward(PyObject *, PyObject *args)
{
    Call call;
    if (!call.read(args, 7))
        return nullptr;
    float *room = allocate(FORWARD_ROOM * call.states);
    if (!room)
        return PyErr_NoMemory();
    Py_BEGIN_ALLOW_THREADS
    for (Size i = call.begin; i < call.end; i++)
        run_forward_group(call.group(i), call.arrays[6] + i * call.tokens * call.channels, room);
    Py_END_ALLOW_THREADS
    free(room);
    Py_RETURN_NONE;
}

// backward(..., (u, delta, A, B, C, entries, dy, du, ddelta, dB, dC, dA)), dA for each of batch entries * groups
static PyObject *backward(PyObject *, PyObject *args)
{
    Call call;
    if (!call.read(args, 12))
        return nullptr;
    float *room = allocate(BACKWARD_ROOM * call.states);
    if (!room)
        return PyErr_NoMemory();
    Py_BEGIN_ALLOW_THREADS
    for (Size i = call.begin; i < call.end; i++) {
        Size wide = i * call.tokens * call.channels, narrow = i * call.tokens * call.states;
        float **at = call.arrays + 6;
        Gradients d = {at[0] + wide, at[1] + wide,   at[2] + wide, at[5] + i * call.channels * call.states,
                       at[3] + narrow, at[4] + narrow};
        run_backward_group(call.group(i), d, room);
    }
    Py_END_ALLOW_THREADS
    free(room);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"forward", forward, METH_VARARGS, nullptr},
    {"backward", backward, METH_VARARGS, nullptr},
    {},
};

static PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_native", nullptr, -1, methods};

PyMODINIT_FUNC PyInit__native(void)
{
    PyObject *module = PyModule_Create(&definition);
    if (module && (PyModule_AddIntConstant(module, "WIDEST", WIDEST) ||
                   PyModule_AddIntConstant(module, "CHUNK", CHUNK) ||
                   PyModule_AddIntConstant(module, "INTERFACE", INTERFACE)))
        Py_CLEAR(module);
    return module;
}
