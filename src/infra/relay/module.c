#include "orderly/infra/relay/module.h"
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

/* Of the program's own file, without its name. False: the system does not say. */
static bool program_folder(char out[PATH_MAX])
{
    ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - 1);
    char *slash;

    if (n <= 0)
        return false;
    out[n] = 0;
    slash = strrchr(out, '/');
    if (!slash)
        return false;
    *slash = 0;
    return true;
}

static bool is_there(char path[PATH_MAX], const char *folder, const char *below, const char *name)
{
    int n = snprintf(path, PATH_MAX, "%s%s/orderly-%s.so", folder, below, name);

    return n > 0 && n < PATH_MAX && access(path, R_OK) == 0;
}

/* path: where it is, or where it was looked for last. */
static bool find(const char *name, const char *folder, char path[PATH_MAX])
{
    char own[PATH_MAX];

    if (folder[0])
        return is_there(path, folder, "", name);
    if (!program_folder(own)) {
        path[0] = 0;
        return false;
    }
    return is_there(path, own, "/../lib/orderly", name) || is_there(path, own, "", name);
}

enum err broker_module_load(const char *name, const char *folder, const struct broker_module **out,
                            char why[BROKER_MODULE_WHY_MAX])
{
    const struct broker_module *module;
    char path[PATH_MAX];
    void *handle;

    if (!find(name, folder, path)) {
        (void)snprintf(why, BROKER_MODULE_WHY_MAX,
                       "there is no adapter %.800s: it is built where the broker's client library "
                       "is, and looked for beside the program or in relay.modules",
                       path);
        return ERR_NOT_FOUND;
    }
    handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        (void)snprintf(why, BROKER_MODULE_WHY_MAX, "%.1000s", dlerror());
        return ERR_INVALID;
    }
    module = dlsym(handle, BROKER_MODULE_SYMBOL);
    if (!module || module->abi != BROKER_ABI || strcmp(module->name, name) != 0) {
        (void)snprintf(why, BROKER_MODULE_WHY_MAX,
                       "%.900s is no adapter for %s of this version of Orderly", path, name);
        (void)dlclose(handle);
        return ERR_INVALID;
    }
    *out = module;
    return ERR_OK;
}
