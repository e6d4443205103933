# System libraries, found by pkg-config. Two interface targets come out: qwren_dependencies (the library's) and qwren_line_editing (the
# program's, may be empty). QWREN_REQUIRES is the list for qwren.pc and qwrenConfig.cmake.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

add_library(qwren_dependencies INTERFACE)
target_link_libraries(qwren_dependencies INTERFACE Threads::Threads m)
set(QWREN_REQUIRES "")

# need(MODULE WHY): a library that must be there; scripts/setup installs them all.
function(qwren_need module why)
    pkg_check_modules(${module} IMPORTED_TARGET ${module})
    if(NOT ${module}_FOUND)
        message(FATAL_ERROR "${module} is missing: ${why}. `scripts/setup` installs it.")
    endif()
    target_link_libraries(qwren_dependencies INTERFACE PkgConfig::${module})
    set(QWREN_REQUIRES ${QWREN_REQUIRES} ${module} PARENT_SCOPE)
endfunction()

if(QWREN_JPEG)
    qwren_need(libjpeg "it reads JPEG pictures; -DQWREN_JPEG=OFF leaves them out")
    target_compile_definitions(qwren_dependencies INTERFACE QW_HAVE_JPEG=1)
endif()
if(QWREN_PNG)
    qwren_need(spng "it reads PNG pictures; -DQWREN_PNG=OFF leaves them out")
    target_compile_definitions(qwren_dependencies INTERFACE QW_HAVE_PNG=1)
endif()
if(QWREN_WEBP)
    qwren_need(libwebp "it reads WebP pictures; -DQWREN_WEBP=OFF leaves them out")
    qwren_need(libwebpdemux "it finds the first frame of WebP animations; -DQWREN_WEBP=OFF leaves them out")
    target_compile_definitions(qwren_dependencies INTERFACE QW_HAVE_WEBP=1)
endif()

add_library(qwren_line_editing INTERFACE)
pkg_check_modules(libedit IMPORTED_TARGET libedit)
if(libedit_FOUND)
    target_link_libraries(qwren_line_editing INTERFACE PkgConfig::libedit)
    target_compile_definitions(qwren_line_editing INTERFACE QW_HAVE_LIBEDIT=1)
endif()
