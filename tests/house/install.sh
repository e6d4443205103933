#!/bin/sh
# Installs into an empty prefix and uses the copy as a stranger would: a program of ten lines by pkg-config, shared and static, and by CMake.
#   install.sh BUILD-FOLDER COMPILER [FLAGS]
set -eu
build=$1 cc=$2 flags=${3-}
root=$(cd "$(dirname "$0")/../.." && pwd)
prefix=$(cd "$(mktemp -d)" && pwd -P)
trap 'rm -rf "$prefix"' EXIT
cmake --install "$build" --prefix "$prefix" >/dev/null

cat >"$prefix/ten.c" <<'END'
#include <qwren.h>
#include <stdio.h>
#include <string.h>
int main(void)
{
    qwren_error err;
    qwren_model *m = (qwren_model *)&err;
    qwren_status st = qwren_model_open(&m, "/no/such/model", NULL, &err);
    printf("%s %s\n", qwren_version(), err.text);
    return !(st == QWREN_E_IO && m == NULL && strstr(err.text, "/no/such/model"));
}
END
pc=$(find "$prefix" -name qwren.pc)
PKG_CONFIG_PATH=$(dirname "$pc")
export PKG_CONFIG_PATH
lib=$(pkg-config --variable=libdir qwren)

# shellcheck disable=SC2046,SC2086
$cc $flags -std=c17 -Wall -Wextra -Werror "$prefix/ten.c" $(pkg-config --cflags --libs qwren) -o "$prefix/shared"
LD_LIBRARY_PATH=$lib "$prefix/shared"
# shellcheck disable=SC2046,SC2086
$cc $flags -std=c17 "$prefix/ten.c" $(pkg-config --cflags qwren) "$lib/libqwren.a" $(pkg-config --static --libs qwren | sed 's/-lqwren//') -o "$prefix/static"
"$prefix/static"

mkdir "$prefix/cmake-user"
cat >"$prefix/cmake-user/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.22)
project(user C)
find_package(qwren REQUIRED)
add_executable(user ../ten.c)
target_link_libraries(user qwren::qwren)
END
cmake -S "$prefix/cmake-user" -B "$prefix/cmake-user/build" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_COMPILER="$cc" -DCMAKE_C_FLAGS="$flags" >/dev/null
cmake --build "$prefix/cmake-user/build" >/dev/null
"$prefix/cmake-user/build/user"

# The installed program finds the installed model and its examination, far from the sources.
if [ -x "$prefix/bin/qwren" ]; then
    seen=$(unset QWREN_MODEL && cd / && "$prefix/bin/qwren" inspect --json) || seen=
    case $seen in
    *"\"path\": \"$prefix/share/qwren/models/qwren-nano\""*) ;;
    *) echo "the installed program does not find its own model: $seen"; exit 1 ;;
    esac
    (cd / && "$prefix/bin/qwren" eval -q tasks qwren-nano --limit 1 >/dev/null) || { echo "the installed program does not find its examination"; exit 1; }
fi

# qwren.pc finds the prefix from a libdir of any depth.
for libdir in lib/x86_64-linux-gnu a/b/c; do
    cmake -S "$root" -B "$prefix/deep" -DCMAKE_C_COMPILER="$cc" -DCMAKE_C_FLAGS="$flags" -DQWREN_TESTS=OFF -DCMAKE_INSTALL_LIBDIR=$libdir >/dev/null
    mkdir -p "$prefix/$libdir/pkgconfig"
    cp "$prefix/deep/qwren.pc" "$prefix/$libdir/pkgconfig/qwren.pc"
    for dir in libdir/$libdir includedir/include; do
        said=$(PKG_CONFIG_PATH=$prefix/$libdir/pkgconfig pkg-config --variable=${dir%%/*} qwren)
        [ "$(cd "$said" && pwd -P)" = "$prefix/${dir#*/}" ] || { echo "with $libdir, qwren.pc says ${dir%%/*} is $said"; exit 1; }
    done
done
