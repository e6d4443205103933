/* Folders that tests fill with files. */
#ifndef QW_TESTS_FOLDER_H
#define QW_TESTS_FOLDER_H

#include <unistd.h>

#include "base/alloc.h"
#include "base/dir.h"
#include "base/file.h"

/* Removes a folder that holds nothing but files; one that is not there is no mistake. */
static inline void folder_remove(const char *folder)
{
    qw_names names;
    if (qw_dir_list(&names, folder, NULL, NULL) == QWREN_OK)
        for (size_t i = 0; i < names.n; i++) {
            char *file = qw_path_join(folder, names.at[i]);
            unlink(file);
            qw_free(file);
        }
    qw_names_deinit(&names);
    rmdir(folder);
}

#endif
