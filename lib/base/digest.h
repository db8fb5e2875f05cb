// SPDX-License-Identifier: Apache-2.0
// SHA-256 (identity of files and configs) and XXH3-128 (integrity of a dataset's bytes).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace suffice {

using Sha256Digest = std::array<uint8_t, 32>;

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;

  void Update(const void* data, size_t bytes);
  void Update(std::string_view text) { Update(text.data(), text.size()); }
  Sha256Digest Finish();  // once

 private:
  struct State;
  std::unique_ptr<State> state_;
};

Sha256Digest Sha256Of(std::string_view bytes);
Sha256Digest Sha256OfFile(const std::string& path);  // of its bytes; throws kData if unreadable

std::string CryptoLibraryVersion();  // "OpenSSL 3.0.19 ...", of the library in use

std::string Hex(std::span<const uint8_t> bytes);  // lower case

// XXH3-128 as 32 hexadecimal digits, high word first (the canonical form).
std::string Xxh3Of(const void* data, size_t bytes);

class Xxh3 {
 public:
  Xxh3();
  ~Xxh3();
  void Update(const void* data, size_t bytes);
  std::string Finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace suffice
