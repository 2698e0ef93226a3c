# Everything comes from Debian 12's packages; tools/quickstart installs them.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(OpenSSL 3.0 REQUIRED)
find_package(CURL 7.87 REQUIRED)  # CURLOPT_QUICK_EXIT
find_package(absl REQUIRED)
find_package(fmt REQUIRED)
find_package(CLI11 REQUIRED)
find_package(nlohmann_json 3.11 REQUIRED)
find_package(tomlplusplus REQUIRED)
pkg_check_modules(IDN2 REQUIRED IMPORTED_TARGET libidn2)
find_library(LIBUNBOUND NAMES unbound REQUIRED)  # its pkg-config file asks for packages that are not needed
pkg_check_modules(IDN REQUIRED IMPORTED_TARGET libidn)  # SASLprep; libidn2 has no stringprep

pkg_check_modules(RE2 REQUIRED IMPORTED_TARGET re2)           # what replies mean
pkg_check_modules(PSL REQUIRED IMPORTED_TARGET libpsl)        # organisational domains
pkg_check_modules(SQLITE3 REQUIRED IMPORTED_TARGET sqlite3)   # volley.db
pkg_check_modules(ZSTD REQUIRED IMPORTED_TARGET libzstd)         # events that were moved away
pkg_check_modules(GMIME REQUIRED IMPORTED_TARGET gmime-3.0)   # finished messages as templates

# liburing 2.3: the static library, because the ring's inline parts and the library must match.
find_library(LIBURING_STATIC NAMES liburing.a REQUIRED)
find_path(LIBURING_INCLUDE liburing.h REQUIRED)
add_library(volley_liburing INTERFACE)
target_include_directories(volley_liburing SYSTEM INTERFACE "${LIBURING_INCLUDE}")
target_link_libraries(volley_liburing INTERFACE "${LIBURING_STATIC}")

if(VOLLEY_BUILD_TESTS)
  find_package(GTest REQUIRED)
  include(GoogleTest)
endif()
if(VOLLEY_BUILD_BENCH)
  find_package(benchmark REQUIRED)
endif()
