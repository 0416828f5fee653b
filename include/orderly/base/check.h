/* Contract checks. They stay on in release builds: a broken invariant in an order log is worse than
 * a restart. One condition per line, no side effects. Input from outside is never checked by these,
 * it is refused. */
#ifndef ORDERLY_BASE_CHECK_H
#define ORDERLY_BASE_CHECK_H

/* Prints one line to stderr and aborts. */
_Noreturn void check_failed(const char *kind, const char *expr, const char *file, int line);

#define CHECK_(kind, x) ((x) ? (void)0 : check_failed(kind, #x, __FILE__, __LINE__))
#define REQUIRE(x) CHECK_("precondition", x) /* the caller got it wrong    */
#define ENSURE(x) CHECK_("postcondition", x) /* this function got it wrong */
#define INVARIANT(x) CHECK_("invariant", x)  /* this object is corrupt     */
#define UNREACHABLE(why) check_failed("unreachable", why, __FILE__, __LINE__)

#define MUST_CHECK __attribute__((warn_unused_result))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#endif
