/* An engine in front of another, whose reads fail where a test says so. What is written goes
 * through. */
#ifndef TESTS_SUPPORT_FAULTY_ENGINE_H
#define TESTS_SUPPORT_FAULTY_ENGINE_H
#include "orderly/infra/store/engine.h"

struct faulty_engine {
    struct engine engine;
    struct engine *inner; /* borrowed */

    /* Set by the test at any time. */
    struct read_fault {
        enum err err; /* ERR_OK: none */
        enum store_db db;
        uint64_t position; /* of get: keys that begin with it; 0: each */
    } get, seek;

    /* Written by it. */
    unsigned n_contradicts; /* how often a list was said to lead nowhere */
    enum store_db contradicted;
};

void faulty_engine_init(struct faulty_engine *f, struct engine *inner);
#endif
