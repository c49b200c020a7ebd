# Every library we use, with its purpose. Debian 12's versions work, and newer ones.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS CXX)         # threads inside numeric kernels; shares LibTorch's libgomp
if(STAMP_WITH_TORCH)
  # By flag, not by path: a path makes CMake warn that LibTorch's folder hides it (both hold the same libgomp.so.1).
  set_property(TARGET OpenMP::OpenMP_CXX PROPERTY INTERFACE_LINK_LIBRARIES ${OpenMP_CXX_FLAGS})
endif()
find_package(fmt REQUIRED)                           # text formatting
find_package(spdlog REQUIRED)                        # log files, behind base/log.h only
find_package(yaml-cpp REQUIRED)                      # experiment files, behind config/ only
find_package(nlohmann_json REQUIRED)                 # records, config.json, tokenizer.json
find_package(CLI11 REQUIRED)                         # command line
find_package(OpenSSL REQUIRED COMPONENTS Crypto)     # SHA-256 of models, texts and trial specs
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)    # tokenizer patterns with Unicode classes and look-ahead
pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc) # NFC and Unicode categories
pkg_check_modules(PNG REQUIRED IMPORTED_TARGET libpng)           # images as files
find_package(SQLite3 REQUIRED)                       # `stamp export --format sqlite`
find_package(ZLIB REQUIRED)                          # committed results are packed

if(TARGET yaml-cpp::yaml-cpp)
  set(STAMP_YAML yaml-cpp::yaml-cpp)
else()
  set(STAMP_YAML yaml-cpp)
endif()

if(STAMP_WITH_TORCH)
  include(StampTorch)
endif()
