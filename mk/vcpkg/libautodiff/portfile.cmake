# portfile.cmake: a port for vcpkg: vcpkg install libautodiff --overlay-ports=mk/vcpkg
#
# It builds the sources that it stands in. A registry's port gets them from an archive of `make dist`, by
# vcpkg_download_distfile and vcpkg_extract_source_archive, which set SOURCE_PATH in place of the next line.
get_filename_component(SOURCE_PATH "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)

vcpkg_find_acquire_program(PKGCONFIG)
vcpkg_cmake_get_vars(cmake_vars)
include("${cmake_vars}")
set(ENV{PKG_CONFIG} "${PKGCONFIG}")

# install_build RELEASE|DEBUG SUFFIX FOLDER: builds with the flags of the triplet and installs below FOLDER. Each folder of
# the sources has its own level of optimisation, which one at the end of all flags would replace.
function(install_build kind suffix folder)
    string(REGEX REPLACE "(^| )-O[0-9s]" " " flags "${VCPKG_COMBINED_C_FLAGS_${kind}}")
    if(kind STREQUAL "DEBUG")
        string(APPEND flags " -O0")
    endif()
    set(found "${CURRENT_INSTALLED_DIR}${folder}/lib")
    set(ENV{PKG_CONFIG_LIBDIR} "${found}/pkgconfig:${CURRENT_INSTALLED_DIR}/share/pkgconfig")
    set(to "${CURRENT_PACKAGES_DIR}${folder}")
    vcpkg_execute_build_process(
        COMMAND make -j ${VCPKG_CONCURRENCY} install BLAS=openblas MPI=none LDCONFIG=: DESTDIR=
            "BUILD=${CURRENT_BUILDTREES_DIR}/make-${TARGET_TRIPLET}-${suffix}"
            "CC=${VCPKG_DETECTED_CMAKE_C_COMPILER}" "AR=${VCPKG_DETECTED_CMAKE_AR}"
            "CPPFLAGS=-isystem ${CURRENT_INSTALLED_DIR}/include" "CFLAGS=${flags}"
            "LDFLAGS=${VCPKG_COMBINED_SHARED_LINKER_FLAGS_${kind}} -L${found}"
            "PREFIX=${to}" "LIBDIR=${to}/lib" "DOCDIR=${to}/share/${PORT}/doc" "CMAKEDIR=${to}/share/autodiff"
        WORKING_DIRECTORY "${SOURCE_PATH}"
        LOGNAME "install-${TARGET_TRIPLET}-${suffix}")
    if(VCPKG_LIBRARY_LINKAGE STREQUAL "static")
        file(GLOB unwanted "${to}/lib/libautodiff.so*")
    else()
        set(unwanted "${to}/lib/libautodiff.a")
    endif()
    file(REMOVE ${unwanted})
endfunction()

install_build(RELEASE rel "")
set(config "${CURRENT_PACKAGES_DIR}/share/autodiff/autodiff-config.cmake")
vcpkg_replace_string("${config}" "${CURRENT_INSTALLED_DIR}/lib" "\${_autodiff_lib}" IGNORE_UNCHANGED)

if(NOT DEFINED VCPKG_BUILD_TYPE)
    install_build(DEBUG dbg "/debug")
    file(REMOVE_RECURSE "${CURRENT_PACKAGES_DIR}/debug/include" "${CURRENT_PACKAGES_DIR}/debug/share")
    file(APPEND "${config}" [[

# The library for debugging.
foreach(_autodiff_target IN ITEMS autodiff::autodiff autodiff::static)
    if(TARGET ${_autodiff_target})
        get_target_property(_autodiff_file ${_autodiff_target} IMPORTED_LOCATION)
        get_filename_component(_autodiff_file "${_autodiff_file}" NAME)
        set_target_properties(${_autodiff_target} PROPERTIES
            IMPORTED_LOCATION_DEBUG "${_autodiff_lib}/../debug/lib/${_autodiff_file}")
    endif()
endforeach()
]])
endif()

vcpkg_fixup_pkgconfig()
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE")
file(INSTALL "${CMAKE_CURRENT_LIST_DIR}/usage" DESTINATION "${CURRENT_PACKAGES_DIR}/share/${PORT}")
