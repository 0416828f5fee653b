/* The tree's source itself, with nodes so narrow that a few thousand keys make it many levels high.
 */
#define BTREE_WIDTH 8u
/* NOLINTNEXTLINE(bugprone-suspicious-include) the source itself is under test, made narrow */
#include "../../../../src/infra/store/btree.c"
#include "btree_model.h"

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(btree__agrees_with_a_sorted_array_over_random_operations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
