# SPDX-License-Identifier: Apache-2.0
#
# The Debian package: `cpack` in the build directory makes zonelet_<version>_<arch>.deb.
#
# The zone kernel and the zone root are made by zone/kernel/build and zone/root/build, not by CMake;
# their paths come with -DZL_ZONE_KERNEL=… -DZL_ZONE_ROOT=… -DZL_ZONE_RAMDISK=…. Without them the package runs pods under
# the host handler alone.
set(ZL_ZONE_KERNEL "" CACHE FILEPATH "zone kernel to package (zone/kernel/build prints its path)")
set(ZL_ZONE_ROOT "" CACHE FILEPATH "zone root to package (made by zone/root/build)")
set(ZL_ZONE_RAMDISK "" CACHE FILEPATH "initial ramdisk to package (made by zone/root/build)")
set(package_dir ${CMAKE_CURRENT_LIST_DIR})

foreach(part KERNEL ROOT RAMDISK)
  string(TOLOWER ${part} word)
  if(NOT ZL_ZONE_${part})
    message(STATUS "the package will have no zone ${word}: -DZL_ZONE_${part}= is not given")
  elseif(NOT EXISTS ${ZL_ZONE_${part}})
    message(FATAL_ERROR "ZL_ZONE_${part}: there is no ${ZL_ZONE_${part}}")
  endif()
endforeach()
if(ZL_ZONE_KERNEL)
  install(FILES ${ZL_ZONE_KERNEL} DESTINATION lib/zonelet RENAME zone-kernel)
endif()
if(ZL_ZONE_ROOT)
  install(FILES ${ZL_ZONE_ROOT} DESTINATION lib/zonelet RENAME zone-root.erofs)
endif()
if(ZL_ZONE_RAMDISK)
  install(FILES ${ZL_ZONE_RAMDISK} DESTINATION lib/zonelet RENAME zone-init.cpio)
endif()

foreach(helper zonelet-hotplug zonelet-supervisor)
  if(TARGET ${helper})
    install(TARGETS ${helper} DESTINATION libexec/zonelet)
  endif()
endforeach()
# For those who give zones a distribution's kernel.
install(TARGETS zonelet-initramfs-init DESTINATION lib/zonelet)
install(PROGRAMS ${CMAKE_SOURCE_DIR}/zone/kernel/debian-initramfs DESTINATION lib/zonelet)
install(FILES ${package_dir}/zoneletd.service DESTINATION lib/systemd/system)
install(FILES ${package_dir}/modules-load.conf DESTINATION lib/modules-load.d RENAME zonelet.conf)
install(FILES ${package_dir}/sysusers.conf DESTINATION lib/sysusers.d RENAME zonelet.conf)
install(FILES ${package_dir}/udev-early.rules DESTINATION lib/udev/rules.d RENAME 59-zonelet.rules)
install(FILES ${package_dir}/udev-late.rules DESTINATION lib/udev/rules.d RENAME 99-zonelet.rules)
install(FILES ${package_dir}/tmpfiles.conf DESTINATION lib/tmpfiles.d RENAME zonelet.conf)
install(FILES ${package_dir}/zoneletd.yaml DESTINATION /etc/zonelet)
install(FILES ${package_dir}/10-zonelet.conflist DESTINATION share/doc/zonelet/examples)
install(FILES ${CMAKE_SOURCE_DIR}/LICENSE DESTINATION share/doc/zonelet RENAME copyright)
install(FILES ${CMAKE_SOURCE_DIR}/LICENSES/GPL-2.0.txt DESTINATION share/doc/zonelet)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME zonelet)
set(CPACK_PACKAGE_VENDOR Zonelet)
set(CPACK_PACKAGE_CONTACT "Zonelet maintainers <maintainers@zonelet.invalid>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_PACKAGE_DESCRIPTION
  "Zonelet speaks the Container Runtime Interface to the kubelet and runs every pod as a Xen domain
of its own. Beside it a host handler runs the pods that must share the node's kernel.")
# Files for /etc have absolute paths.
set(CPACK_SET_DESTDIR ON)
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_COMPRESSION_TYPE zstd)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "crun, e2fsprogs, erofs-utils, init-system-helpers, systemd")
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS
  "apparmor, containernetworking-plugins, xen-hypervisor-common, xen-utils-4.20")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
  ${package_dir}/debian/postinst ${package_dir}/debian/prerm ${package_dir}/debian/postrm
  ${package_dir}/debian/conffiles)
include(CPack)
