/* What a fuzz target is: one function that takes any bytes and comes back. The same file is linked
 * with libFuzzer (preset fuzz) and with run_files.c, which hands it the files of the corpus and of
 * the findings, so that what was found once stays a test of every build. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H
#include "orderly/base/str.h"
#include <stdint.h>

/* Always 0. Whatever is wrong ends the process. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Something that the tested code promises does not hold: says so and ends the process. */
_Noreturn void fuzz_fail(const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
#define FUZZ_EXPECT(x, ...) ((x) ? (void)0 : fuzz_fail(__FILE__, __LINE__, __VA_ARGS__))

/* The input as it is used up from the front. What is not there reads as 0. */
static inline unsigned fuzz_take_u8(struct str *in)
{
    if (in->n == 0)
        return 0;
    in->n--;
    return (uint8_t)*in->p++;
}
static inline unsigned fuzz_take_u16(struct str *in)
{
    unsigned high = fuzz_take_u8(in);

    return high << 8 | fuzz_take_u8(in);
}
/* Up to the next such byte, which is taken too; all of it where there is none. */
static inline struct str fuzz_take_until(struct str *in, char byte)
{
    const char *end = in->n ? memchr(in->p, byte, in->n) : NULL;
    struct str line = { in->p, end ? (size_t)(end - in->p) : in->n };

    in->p += line.n + (end != NULL);
    in->n -= line.n + (end != NULL);
    return line;
}
static inline struct str fuzz_take_line(struct str *in)
{
    return fuzz_take_until(in, '\n');
}
#endif
