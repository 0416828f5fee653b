/* Of the coverage build only: a child that ends by _exit writes its counts first, as one that returns
 * from main does. Linked with --wrap=_exit. */
#include <unistd.h>

void __gcov_dump(void);
_Noreturn void __real__exit(int status);
_Noreturn void __wrap__exit(int status);

_Noreturn void __wrap__exit(int status)
{
    __gcov_dump();
    __real__exit(status);
}
