# What `cmake --install` puts where. For a wheel (scikit-build-core sets SKBUILD) only the shared library and the bundled model, inside the package.
set(qwren_bundled_model ${PROJECT_SOURCE_DIR}/models/qwren-nano)

if(SKBUILD)
    install(TARGETS qwren_shared LIBRARY DESTINATION qwen3_5/_lib)
    install(FILES include/qwren.h DESTINATION qwen3_5/_lib)
    install(DIRECTORY ${qwren_bundled_model} DESTINATION qwen3_5/models OPTIONAL)
    return()
endif()

include(CMakePackageConfigHelpers)
set(qwren_cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/qwren)
string(REPLACE ";" " " QWREN_PC_REQUIRES "${QWREN_REQUIRES}")
configure_file(cmake/qwren.pc.in qwren.pc @ONLY)
configure_package_config_file(cmake/qwrenConfig.cmake.in qwrenConfig.cmake INSTALL_DESTINATION ${qwren_cmake_dir} PATH_VARS CMAKE_INSTALL_INCLUDEDIR
                              CMAKE_INSTALL_LIBDIR)
write_basic_package_version_file(qwrenConfigVersion.cmake COMPATIBILITY SameMinorVersion)

install(TARGETS qwren_static qwren_shared ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES include/qwren.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES ${PROJECT_BINARY_DIR}/qwren.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(FILES ${PROJECT_BINARY_DIR}/qwrenConfig.cmake ${PROJECT_BINARY_DIR}/qwrenConfigVersion.cmake DESTINATION ${qwren_cmake_dir})
install(DIRECTORY ${qwren_bundled_model} DESTINATION ${CMAKE_INSTALL_DATADIR}/qwren/models OPTIONAL)
if(TARGET qwren_program)
    install(TARGETS qwren_program RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
    file(GLOB qwren_man_pages CONFIGURE_DEPENDS docs/man/*.1)
    install(FILES ${qwren_man_pages} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
endif()
