// SPDX-License-Identifier: Apache-2.0
// Ownership of libhdf5's identifiers; its error stack as our errors. Internal to lib/io.
//
// Every public function of lib/io that calls libhdf5 holds an Hdf5Session for its duration. It
// serialises all calls of the process (a libhdf5 built without thread safety stays correct; one
// built with it has a global lock anyway) and keeps the library from printing.
#pragma once

#include <hdf5.h>

#include <mutex>
#include <string>
#include <utility>

#include "lib/base/error.h"

namespace suffice {

template <herr_t (*kClose)(hid_t)>
class Hdf5Handle {
 public:
  Hdf5Handle() = default;
  explicit Hdf5Handle(hid_t id) : id_(id) {}
  Hdf5Handle(Hdf5Handle&& other) noexcept : id_(std::exchange(other.id_, H5I_INVALID_HID)) {}
  Hdf5Handle& operator=(Hdf5Handle&& other) noexcept {
    if (this != &other) {
      Close();
      id_ = std::exchange(other.id_, H5I_INVALID_HID);
    }
    return *this;
  }
  ~Hdf5Handle() { Close(); }

  hid_t get() const { return id_; }
  operator hid_t() const { return id_; }  // NOLINT: stands for the identifier in every call
  // Negative when libhdf5 could not close it, as when buffered data could not be written.
  herr_t Close() {
    const hid_t id = std::exchange(id_, H5I_INVALID_HID);
    return id < 0 ? 0 : kClose(id);
  }

 private:
  hid_t id_ = H5I_INVALID_HID;
};

using H5FileHandle = Hdf5Handle<&H5Fclose>;
using H5GroupHandle = Hdf5Handle<&H5Gclose>;
using H5ObjectHandle = Hdf5Handle<&H5Oclose>;
using H5DatasetHandle = Hdf5Handle<&H5Dclose>;
using H5AttributeHandle = Hdf5Handle<&H5Aclose>;
using H5TypeHandle = Hdf5Handle<&H5Tclose>;
using H5SpaceHandle = Hdf5Handle<&H5Sclose>;
using H5ListHandle = Hdf5Handle<&H5Pclose>;

class Hdf5Session {
 public:
  Hdf5Session();
  ~Hdf5Session();
  Hdf5Session(const Hdf5Session&) = delete;
  Hdf5Session& operator=(const Hdf5Session&) = delete;

 private:
  std::unique_lock<std::recursive_mutex> lock_;
  H5E_auto2_t saved_print_ = nullptr;
  void* saved_data_ = nullptr;
};

// The innermost description on this thread's error stack, or the operating system's own words where
// the description quotes them ("No space left on device"). Clears the stack.
std::string Hdf5ErrorText();

// A negative result throws "WHERE: WHAT: libhdf5's reason": kData for what is read, kFailed for
// what is written.
template <class T>
T MustRead(T result, const std::string& where, const char* what) {
  if (result < 0) throw DataError("{}: {}: {}", where, what, Hdf5ErrorText());
  return result;
}
template <class T>
T MustWrite(T result, const std::string& where, const char* what) {
  if (result < 0) throw RunError("{}: {}: {}", where, what, Hdf5ErrorText());
  return result;
}

}  // namespace suffice
