/* The simulated world itself: it repeats a seed exactly, differs between seeds, and does what it says.
 * What the server must hold is judged in each of these runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "orderly/base/check.h"
#include "sim/sim.h"
#include <limits.h>
#include <stdio.h>

static struct sim_config config_of(uint64_t seed, unsigned orders)
{
    return (struct sim_config){ .seed = seed,
                                .orders = orders,
                                .hours = 1,
                                .faults = SIM_FAULTS_ALL,
                                .crashes_max = UINT_MAX };
}

static struct sim_outcome run(const struct sim_config *config)
{
    struct sim_outcome o;

    sim_run(config, &o, NULL);
    if (o.is_violated)
        fail_msg("seed %llu: %s: %s", (unsigned long long)config->seed,
                 sim_invariant_name(o.violation.invariant), o.violation.text);
    return o;
}

static void sim__repeats_a_seed_step_by_step(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        const struct sim_config config = config_of(seed, 5);
        struct sim_outcome first = run(&config), second = run(&config);

        assert_int_equal(first.steps, second.steps);
        assert_memory_equal(&first.trace, &second.trace, sizeof(first.trace));
        assert_memory_equal(first.faults, second.faults, sizeof(first.faults));
        assert_memory_equal(&first.counts, &second.counts, sizeof(first.counts));
    }
}

static void sim__tells_a_story_without_changing_it(void **state)
{
    struct sim_config config = config_of(3, 10);
    struct sim_outcome silent = run(&config), telling;
    struct buf story = { 0 };

    (void)state;
    config.tells = true;
    sim_run(&config, &telling, &story);
    assert_memory_equal(&silent.trace, &telling.trace, sizeof(silent.trace));
    buf_add(&story, "", 1);
    assert_non_null(strstr(story.p, "OrderPlaced"));
    assert_non_null(strstr(story.p, "handed over"));
    assert_non_null(strstr(story.p, "reads 201"));
    buf_deinit(&story);
}

/* Which contexts it has could not be written down: it has to be started again. */
static void sim__starts_again_where_there_was_no_room_to_begin(void **state)
{
    struct sim_config config = config_of(102143, 5);
    struct sim_outcome o;
    struct buf story = { 0 };

    (void)state;
    config.tells = true;
    sim_run(&config, &o, &story);
    assert_false(o.is_violated);
    buf_add(&story, "", 1);
    assert_non_null(strstr(story.p, "it can't begin"));
    buf_deinit(&story);
}

static void sim__is_another_world_with_another_seed(void **state)
{
    struct sim_config one = config_of(1, 5), other = config_of(2, 5);
    struct sim_outcome first = run(&one), second = run(&other);

    (void)state;
    assert_memory_not_equal(&first.trace, &second.trace, sizeof(first.trace));
}

static void sim__has_no_faults_where_none_are_asked_for(void **state)
{
    struct sim_config config = config_of(7, 30);
    struct sim_outcome o;

    (void)state;
    config.faults = 0;
    o = run(&config);
    for (unsigned f = 0; f < SIM_FAULT_COUNT; f++)
        if (o.faults[f] > 0)
            fail_msg("%s happened", sim_fault_name((enum sim_fault)f));
    assert_int_equal(o.counts.failures, 0);
    assert_int_equal(o.orders, 32); /* and the two that are placed when all is over */
    assert_int_equal(o.counts.acknowledged, 32);
}

static void sim__injects_only_what_it_was_asked_for(void **state)
{
    (void)state;
    for (unsigned f = 0; f < SIM_FAULT_COUNT; f++) {
        for (uint64_t seed = 1; seed <= 2; seed++) {
            struct sim_config config = config_of(seed, 3);
            struct sim_outcome o;

            config.faults = 1u << f;
            o = run(&config);
            for (unsigned other = 0; other < SIM_FAULT_COUNT; other++) {
                /* They follow from others: a held message is overtaken, an unanswered one repeated. */
                if (other == f || other == SIM_FAULT_REORDER || other == SIM_FAULT_SAME_KEY)
                    continue;
                assert_int_equal(o.faults[other], 0);
            }
        }
    }
}

static void sim__crashes_no_more_than_it_may(void **state)
{
    struct sim_config config = config_of(1, 30);
    struct sim_outcome o;

    (void)state;
    config.crashes_max = 1;
    o = run(&config);
    assert_true(o.faults[SIM_FAULT_CRASH] + o.faults[SIM_FAULT_TORN] +
                    o.faults[SIM_FAULT_STORE_FAILED] <=
                1);
}

static void sim__holds_in_worlds_with_all_faults(void **state)
{
    (void)state;
    for (uint64_t seed = 100; seed < 106; seed++) {
        const struct sim_config config = config_of(seed, 40);

        assert_true(run(&config).counts.acknowledged > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sim__repeats_a_seed_step_by_step),
        cmocka_unit_test(sim__tells_a_story_without_changing_it),
        cmocka_unit_test(sim__starts_again_where_there_was_no_room_to_begin),
        cmocka_unit_test(sim__is_another_world_with_another_seed),
        cmocka_unit_test(sim__has_no_faults_where_none_are_asked_for),
        cmocka_unit_test(sim__injects_only_what_it_was_asked_for),
        cmocka_unit_test(sim__crashes_no_more_than_it_may),
        cmocka_unit_test(sim__holds_in_worlds_with_all_faults),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
