# Writes a C file that holds the bytes of a file: cmake -D INPUT=FILE -D OUTPUT=FILE.c -D NAME=SYMBOL -P embed.cmake
# gives const unsigned char SYMBOL[] (with a zero byte behind it) and const size_t SYMBOL_len.
file(READ "${INPUT}" digits HEX)
string(LENGTH "${digits}" n_digits)
math(EXPR n_bytes "${n_digits} / 2")
string(REPEAT "[0-9a-f]" 64 line)
string(REGEX REPLACE "(${line})" "\\1\n" digits "${digits}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," digits "${digits}")
get_filename_component(input_name "${INPUT}" NAME)
file(WRITE "${OUTPUT}.part" "/* Made from ${input_name} by cmake/embed.cmake. */
#include <stddef.h>
extern const unsigned char ${NAME}[];
extern const size_t ${NAME}_len;
const unsigned char ${NAME}[] = {
${digits}0x00
};
const size_t ${NAME}_len = ${n_bytes};
")
file(RENAME "${OUTPUT}.part" "${OUTPUT}")
