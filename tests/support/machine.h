/* A machine made of files: a folder that stands for / with what /proc and /sys would say. For the tests of what base/ reads there. */
#ifndef QW_TESTS_SUPPORT_MACHINE_H
#define QW_TESTS_SUPPORT_MACHINE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static char root[64];

static int make_machine(void **state)
{
    (void)state;
    strcpy(root, "/tmp/qwren-test-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int remove_machine(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", root);
    return system(command);
}

/* Writes root/path, making the folders on the way. */
static void put(const char *path, const char *text)
{
    char full[512];
    snprintf(full, sizeof full, "%s/%s", root, path);
    for (char *p = full + strlen(root) + 1; (p = strchr(p, '/')); *p++ = '/') {
        *p = '\0';
        mkdir(full, 0700);
    }
    FILE *f = fopen(full, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

#endif
