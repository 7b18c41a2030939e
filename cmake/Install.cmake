# cmake --install build/release --prefix P: P/bin, P/share/grouper/examples, P/share/doc/grouper. The tree may be
# moved: the programs look for each other in their own folder and need nothing else of it.
include(GNUInstallDirs)
install(CODE "set(CMAKE_INSTALL_DO_STRIP ON)")
install(TARGETS grouper grouper-reward grouper-trace RUNTIME)
install(DIRECTORY examples/ DESTINATION ${CMAKE_INSTALL_DATADIR}/grouper/examples)
install(DIRECTORY docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR} FILES_MATCHING PATTERN "*.md")
install(FILES README.md CHANGELOG.md LICENSE NOTICE DESTINATION ${CMAKE_INSTALL_DOCDIR})

# The libraries that a static program contains, each under its own licence (NOTICE has the list).
if(GROUPER_STATIC)
  foreach(package libgrpc++-dev libprotobuf-dev libabsl-dev libssl-dev libre2-dev libc-ares-dev zlib1g-dev libgmp-dev
                  libseccomp-dev libspdlog-dev libfmt-dev nlohmann-json3-dev libcli11-dev)
    install(FILES /usr/share/doc/${package}/copyright DESTINATION ${CMAKE_INSTALL_DOCDIR}/licences RENAME ${package}
            OPTIONAL)
  endforeach()
endif()
