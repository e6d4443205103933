# QWREN_KERNELS_ONLY: the kernels and their check, with nothing but the C library. For processors that are reached by a cross compiler and an emulator.
file(GLOB kernel_sources CONFIGURE_DEPENDS src/base/*.c src/quant/*.c src/kernels/*.c src/kernels/*/*.c)
list(FILTER kernel_sources EXCLUDE REGEX "/src/base/json") # the one part of base with a library beneath it
qwren_levels(kernel_sources)
find_package(Threads REQUIRED)
add_library(qwren_static STATIC ${kernel_sources})
target_include_directories(qwren_static PUBLIC include src)
target_compile_definitions(qwren_static PUBLIC _GNU_SOURCE)
target_link_libraries(qwren_static PUBLIC Threads::Threads m)
qwren_warnings(qwren_static STRICT)

enable_testing()
add_subdirectory(tests/kernels)
