# What `cmake --install` puts where. For a wheel (scikit-build-core sets SKBUILD) only the shared library and the bundled model, inside the package.
set(qwren_bundled_model ${PROJECT_SOURCE_DIR}/models/qwren-nano)

if(SKBUILD)
    install(TARGETS qwren_shared LIBRARY DESTINATION qwen3_5/_lib)
    install(FILES include/qwren.h DESTINATION qwen3_5/_lib)
    install(DIRECTORY ${qwren_bundled_model} DESTINATION qwen3_5/models)
    return()
endif()

include(CMakePackageConfigHelpers)
set(qwren_cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/qwren)
string(REPLACE ";" " " QWREN_PC_REQUIRES "${QWREN_REQUIRES}")

# The way from the folder of qwren.pc back to the prefix, so that an installed tree can be moved: lib/x86_64-linux-gnu lies deeper than lib.
file(RELATIVE_PATH QWREN_PC_UP ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
string(REGEX REPLACE "/$" "" QWREN_PC_UP "${QWREN_PC_UP}")
foreach(dir LIBDIR INCLUDEDIR)
    if(IS_ABSOLUTE ${CMAKE_INSTALL_${dir}})
        set(QWREN_PC_${dir} ${CMAKE_INSTALL_${dir}})
    else()
        set(QWREN_PC_${dir} "\${prefix}/${CMAKE_INSTALL_${dir}}")
    endif()
endforeach()
configure_file(cmake/qwren.pc.in qwren.pc @ONLY)
configure_package_config_file(cmake/qwrenConfig.cmake.in qwrenConfig.cmake INSTALL_DESTINATION ${qwren_cmake_dir} PATH_VARS CMAKE_INSTALL_INCLUDEDIR
                              CMAKE_INSTALL_LIBDIR)
write_basic_package_version_file(qwrenConfigVersion.cmake COMPATIBILITY SameMinorVersion)

install(TARGETS qwren_static qwren_shared ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES include/qwren.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES ${PROJECT_BINARY_DIR}/qwren.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(FILES ${PROJECT_BINARY_DIR}/qwrenConfig.cmake ${PROJECT_BINARY_DIR}/qwrenConfigVersion.cmake DESTINATION ${qwren_cmake_dir})
install(DIRECTORY ${qwren_bundled_model} DESTINATION ${CMAKE_INSTALL_DATADIR}/qwren/models)
# What `qwren eval tasks` asks; the reference's answers are for tests alone.
install(FILES tests/heldout/requests.jsonl tests/heldout/expected.jsonl DESTINATION ${CMAKE_INSTALL_DATADIR}/qwren/heldout)
if(TARGET qwren_program)
    install(TARGETS qwren_program RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
    file(GLOB qwren_man_pages CONFIGURE_DEPENDS docs/man/*.1)
    install(FILES ${qwren_man_pages} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
endif()
