// SPDX-License-Identifier: Apache-2.0
#include "lib/io/npy.h"

#include "tests/io/io_testing.h"

namespace suffice {
namespace {

std::string Npy(int major, const std::string& header, size_t data_bytes) {
  std::string bytes = "\x93NUMPY";
  bytes += static_cast<char>(major);
  bytes += '\0';
  for (size_t i = 0; i < (major == 1 ? 2u : 4u); ++i) {
    bytes += static_cast<char>(header.size() >> (8 * i));
  }
  return bytes + header + std::string(data_bytes, '\0');
}

TEST(Npy, ReadsBackWhatWasWritten) {
  const TempFolder folder;
  for (const DType dtype :
       {DType::kF32, DType::kF64, DType::kF16, DType::kI8, DType::kI16, DType::kI32, DType::kI64,
        DType::kU8, DType::kU16, DType::kU32, DType::kU64}) {
    for (const Shape& shape : {Shape{}, Shape{5}, Shape{0, 3}, Shape{2, 3, 4, 1, 2, 2}}) {
      const HostArray array = RandomArray(dtype, shape, 1);
      WriteNpy(folder / "a.npy", array, true);
      const HostArray found = ReadNpy(folder / "a.npy");
      EXPECT_EQ(found.dtype(), dtype);
      EXPECT_EQ(found.shape(), shape);
      EXPECT_TRUE(std::equal(array.data(), array.data() + array.bytes(), found.data()));
      EXPECT_EQ((ReadBytes(folder / "a.npy").size() - array.bytes()) % 64, 0u);
    }
  }
  MessageOf(ExitCode::kUsage,
            [&] { WriteNpy(folder / "b.npy", RandomArray(DType::kBF16, {2}, 1)); });
  EXPECT_FALSE(std::filesystem::exists(folder / "b.npy"));
}

TEST(Npy, ReadsVersionsOneToThreeAndRefusesTheRest) {
  const TempFolder folder;
  const std::string path = folder / "a.npy";
  const std::string fine = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }   \n";
  for (const int major : {1, 2, 3}) {
    WriteBytes(path, Npy(major, fine, 24));
    EXPECT_EQ(ReadNpy(path).shape(), Shape({2, 3})) << major;
  }
  WriteBytes(path, Npy(1, "{\"shape\":(3,),\"fortran_order\":False,\"descr\":\"|b1\"}", 3));
  EXPECT_EQ(ReadNpy(path).dtype(), DType::kU8);
  struct Case {
    std::string bytes;
    std::string reason;
  };
  const std::string whole = Npy(1, fine, 24);
  const std::vector<Case> cases = {
      {"", "truncated"},
      {std::string(64, 'x'), "not an npy file"},
      {whole.substr(0, 30), "truncated"},
      {whole.substr(0, whole.size() - 1), "23 bytes of data, its shape (2, 3) needs 24"},
      {whole + "x", "25 bytes of data"},
      {Npy(4, fine, 24), "npy version 4.0"},
      {Npy(2, std::string(70000, ' '), 0), "a header of 70000 bytes"},
      {Npy(1, "{'descr': '>f4', 'fortran_order': False, 'shape': (2, 3)}", 24),
       "'>f4' is none of ours"},
      {Npy(1, "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", 8), "'|O' is none of ours"},
      {Npy(1, "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", 4),
       "not an npy header"},
      {Npy(1, "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3)}", 24), "Fortran order"},
      {Npy(1, "{'descr': '<f4', 'fortran_order': 0, 'shape': (2, 3)}", 24), "not an npy header"},
      {Npy(1, "{'descr': '<f4', 'shape': (2, 3)}", 24), "not an npy header"},
      {Npy(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (-2, 3)}", 24),
       "not an npy header"},
      {Npy(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2 3)}", 24), "not an npy header"},
      {Npy(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1)}", 4),
       "rank above 6"},
      {Npy(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807,4)}", 4),
       "overflows"},
      {Npy(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", 4),
       "not an npy header"},
      {Npy(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)} x", 24),
       "not an npy header"},
      {Npy(1, "{'descr': '<f4", 24), "not an npy header"},
  };
  for (const Case& wrong : cases) {
    WriteBytes(path, wrong.bytes);
    const std::string message = MessageOf(ExitCode::kData, [&] { ReadNpy(path); });
    EXPECT_TRUE(message.starts_with(path + ": ")) << message;
    EXPECT_NE(message.find(wrong.reason), std::string::npos)
        << message << "\nwanted: " << wrong.reason;
  }
}

}  // namespace
}  // namespace suffice
