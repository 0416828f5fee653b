/* What is done with a store, in short scenes, so that each call of a kind can fail in turn wherever
 * the store makes one. Each time it must be told, nothing acknowledged may be lost, and the next
 * opening finds a store that is sound. */
#ifndef TESTS_SUPPORT_LMDB_SCENES_H
#define TESTS_SUPPORT_LMDB_SCENES_H
#include "support/lmdb_store.h"

struct lmdb_scene {
    struct lmdb_store store; /* open, with a dozen events */
    struct lmdb_store other; /* there is none yet; or, closed, a backup of it */
    uint64_t acknowledged;
};

/* Each answers the first failure that it was told of. */
typedef enum err (*scene_cb)(struct lmdb_scene *s);
enum err scene_open_restored(struct lmdb_scene *s);
enum err scene_close_and_open(struct lmdb_scene *s);
enum err scene_open_marked(struct lmdb_scene *s);
enum err scene_open_new(struct lmdb_scene *s);
enum err scene_open_reader(struct lmdb_scene *s);
enum err scene_write_events(struct lmdb_scene *s);
enum err scene_write_and_delete(struct lmdb_scene *s);
enum err scene_read_rows(struct lmdb_scene *s);
enum err scene_walk(struct lmdb_scene *s);
enum err scene_look(struct lmdb_scene *s);
enum err scene_backup(struct lmdb_scene *s);
enum err scene_build(struct lmdb_scene *s);
enum err scene_rebuild(struct lmdb_scene *s);

struct scene_fault {
    void (*arm)(unsigned nth, int code); /* the nth call from now on fails with the code */
    bool (*disarm)(void);                /* none does any more. Did it come to that? */
    int code;
    bool with_backup; /* scene_open_restored needs one */
};

#define SCENE_CALLS_MAX 3000 /* far more than there are */

/* False: there are not so many calls, and the scene played without a fault. What must hold and does
 * not ends the process. */
bool lmdb_scene_fail_nth(const struct scene_fault *f, scene_cb run, unsigned nth);
/* Every stride-th in turn. Returns how many there are, about. */
unsigned lmdb_scene_fail_each(const struct scene_fault *f, scene_cb run, unsigned stride);
#endif
