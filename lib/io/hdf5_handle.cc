// SPDX-License-Identifier: Apache-2.0
#include "lib/io/hdf5_handle.h"

#include <string_view>

namespace suffice {
namespace {

std::recursive_mutex& Mutex() {
  static std::recursive_mutex mutex;
  return mutex;
}

void InitialiseOnce() {
  static const bool done = [] {
    // A file that could not be flushed (full disk) must not be tried again while the process ends.
    H5dont_atexit();
    H5open();
    H5PLset_loading_state(
        0);  // a file names its filters; none of them loads code from a plugin path
    return true;
  }();
  static_cast<void>(done);
}

herr_t KeepFirst(unsigned depth, const H5E_error2_t* error, void* out) {
  if (depth == 0 && error->desc != nullptr) *static_cast<std::string*>(out) = error->desc;
  return 0;
}

}  // namespace

Hdf5Session::Hdf5Session() : lock_(Mutex()) {
  InitialiseOnce();
  H5Eget_auto2(H5E_DEFAULT, &saved_print_, &saved_data_);
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

Hdf5Session::~Hdf5Session() { H5Eset_auto2(H5E_DEFAULT, saved_print_, saved_data_); }

std::string Hdf5ErrorText() {
  std::string text;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, &KeepFirst, &text);
  H5Eclear2(H5E_DEFAULT);
  constexpr std::string_view kQuote = "error message = '";
  if (const size_t begin = text.find(kQuote); begin != std::string::npos) {
    const size_t from = begin + kQuote.size();
    return text.substr(from, text.find('\'', from) - from);
  }
  return text.empty() ? "libhdf5 gave no reason" : text;
}

}  // namespace suffice
