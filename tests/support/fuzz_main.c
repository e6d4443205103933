/* Runs a fuzz target without libFuzzer: over every file of a folder, then over a fixed number of seeded mutations of each (bytes
 * changed, cut, doubled), and over the empty input. Each input is a copy of exactly its size, so that a sanitizer sees a read too far. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/alloc.h"
#include "base/rng.h"

#define MUTATIONS 200

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void run(const char *bytes, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy)
        abort();
    if (size)
        memcpy(copy, bytes, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static void mutate(char *bytes, size_t *size, qw_rng *rng)
{
    for (uint32_t n = 1 + qw_rng_u32(rng) % 4; n > 0 && *size > 0; n--) {
        size_t at = qw_rng_u32(rng) % *size, len = qw_rng_u32(rng) % (*size - at) + 1;
        switch (qw_rng_u32(rng) % 4) {
        case 0: bytes[at] = (char)qw_rng_u32(rng); break;
        case 1: bytes[at] = (char)(bytes[at] ^ (1 << qw_rng_u32(rng) % 8)); break;
        case 2: *size = at; break;
        default:
            memmove(bytes + at, bytes + at + len, *size - at - len);
            *size -= len;
            break;
        }
    }
}

static int run_file(const char *path)
{
    char *bytes;
    size_t size;
    qwren_error err;
    if (qw_file_read(path, SIZE_MAX, &bytes, &size, &err) != QWREN_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    qw_rng rng;
    qw_rng_seed(&rng, size);
    run(bytes, size);
    char *changed = malloc(size + 1);
    for (int i = 0; changed && i < MUTATIONS; i++) {
        size_t n = size;
        memcpy(changed, bytes, size);
        mutate(changed, &n, &rng);
        run(changed, n);
    }
    free(changed);
    qw_free(bytes);
    return 0;
}

int main(int argc, char **argv)
{
    DIR *folder = argc == 2 ? opendir(argv[1]) : NULL;
    if (!folder) {
        fprintf(stderr, "usage: %s FOLDER-OF-SEEDS (it must exist)\n", argv[0]);
        return 2;
    }
    run("", 0);
    int failed = 0, n = 0;
    for (struct dirent *e; (e = readdir(folder));) {
        if (e->d_name[0] == '.')
            continue;
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", argv[1], e->d_name);
        failed |= run_file(path);
        n++;
    }
    closedir(folder);
    printf("%d seeds, %d mutations of each\n", n, MUTATIONS);
    return failed || n == 0;
}
