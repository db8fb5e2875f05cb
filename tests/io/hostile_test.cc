// SPDX-License-Identifier: Apache-2.0
// Files that libhdf5 would read without a word, made with libhdf5 itself: each is refused by name.
#include <hdf5.h>

#include <functional>

#include "lib/base/digest.h"
#include "tests/io/io_testing.h"

namespace suffice {
namespace {

class Hostile : public ::testing::Test {
 protected:
  void SetUp() override { H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr); }

  // A file of ours that `change` then spoils, through libhdf5.
  std::string Spoil(const std::function<void(hid_t file)>& change) {
    const std::string path = folder_ / (std::to_string(count_++) + ".h5");
    {
      TensorWriter writer(path, ExampleHeader());
      writer.Dataset("/x", RandomArray(DType::kF32, {8, 8}, 1));
      writer.Group("/g");
      writer.Commit();
    }
    const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110);
    const hid_t file = H5Fopen(path.c_str(), H5F_ACC_RDWR, access);
    EXPECT_GE(file, 0);
    change(file);
    EXPECT_GE(H5Fclose(file), 0);
    H5Pclose(access);
    return path;
  }

  // Refused with a message that begins with the file and `object`, and holds `reason`.
  void ExpectRefused(const std::string& path, const std::string& object,
                     const std::string& reason) {
    const std::string message = MessageOf(ExitCode::kData, [&] { TensorReader reader(path); });
    const std::string start = path + ": " + object;
    EXPECT_TRUE(message.starts_with(start)) << message << "\nwanted: " << start;
    EXPECT_NE(message.find(reason), std::string::npos) << message << "\nwanted: " << reason;
  }

  // A dataset /evil of `type` and `extents` with `list`'s storage and a checksum attribute.
  static hid_t MakeDataset(hid_t file, hid_t type, const std::vector<hsize_t>& extents,
                           hid_t list = H5P_DEFAULT, bool checksum = true) {
    const hid_t space = H5Screate_simple(static_cast<int>(extents.size()), extents.data(), nullptr);
    const hid_t dataset = H5Dcreate2(file, "evil", type, space, H5P_DEFAULT, list, H5P_DEFAULT);
    EXPECT_GE(dataset, 0);
    H5Sclose(space);
    if (checksum) SetString(dataset, "xxh3", std::string(32, '0'));
    return dataset;
  }

  static void SetString(hid_t object, const char* name, const std::string& value) {
    const hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, value.size());
    const hid_t space = H5Screate(H5S_SCALAR);
    if (H5Aexists(object, name) > 0) H5Adelete(object, name);
    const hid_t attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    H5Awrite(attribute, type, value.data());
    H5Aclose(attribute);
    H5Sclose(space);
    H5Tclose(type);
  }

  TempFolder folder_;
  int count_ = 0;
};

TEST_F(Hostile, LinksThatLeaveTheTree) {
  ExpectRefused(
      Spoil([](hid_t file) { H5Lcreate_soft("/x", file, "evil", H5P_DEFAULT, H5P_DEFAULT); }),
      "/evil", "is a soft link");
  ExpectRefused(Spoil([](hid_t file) {
                  H5Lcreate_external("/etc/passwd", "/", file, "evil", H5P_DEFAULT, H5P_DEFAULT);
                }),
                "/evil", "is an external link");
  ExpectRefused(Spoil([](hid_t file) {
                  H5Lcreate_hard(file, "/", file, "g/evil", H5P_DEFAULT, H5P_DEFAULT);
                }),
                "/g/evil", "is reached under two names");
  const std::string twice =
      Spoil([](hid_t file) { H5Lcreate_hard(file, "/x", file, "evil", H5P_DEFAULT, H5P_DEFAULT); });
  ExpectRefused(twice, "/", "is reached under two names");
}

TEST_F(Hostile, ObjectsThatAreNeitherGroupNorDataset) {
  ExpectRefused(Spoil([](hid_t file) {
                  const hid_t type = H5Tcopy(H5T_STD_I32LE);
                  H5Tcommit2(file, "evil", type, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
                  H5Tclose(type);
                }),
                "/evil", "neither a group nor a dataset");
}

TEST_F(Hostile, TooDeep) {
  ExpectRefused(Spoil([](hid_t file) {
                  std::string path;
                  for (int i = 0; i < 12; ++i) {
                    path += "/d";
                    H5Gclose(H5Gcreate2(file, path.c_str(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
                  }
                }),
                "/d/d/d/d/d/d/d/d", "more than 8 levels deep");
}

TEST_F(Hostile, NamesThatDeceive) {
  for (const std::string name : {"a\nb", "\x1b[31m", "\xff"}) {
    ExpectRefused(Spoil([&](hid_t file) {
                    H5Gclose(H5Gcreate2(file, name.c_str(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
                  }),
                  "/", "a member's name");
  }
}

TEST_F(Hostile, DataThatLieElsewhere) {
  ExpectRefused(Spoil([](hid_t file) {
                  const hid_t list = H5Pcreate(H5P_DATASET_CREATE);
                  H5Pset_external(list, "/etc/debian_version", 0, 4);
                  H5Dclose(MakeDataset(file, H5T_STD_U8LE, {4}, list));
                  H5Pclose(list);
                }),
                "/evil", "its data are in another file");
  ExpectRefused(Spoil([](hid_t file) {
                  const hsize_t extent = 4;
                  const hid_t space = H5Screate_simple(1, &extent, nullptr);
                  const hid_t list = H5Pcreate(H5P_DATASET_CREATE);
                  H5Pset_virtual(list, space, "/tmp/other.h5", "/x", space);
                  H5Dclose(MakeDataset(file, H5T_STD_U8LE, {4}, list));
                  H5Pclose(list);
                  H5Sclose(space);
                }),
                "/evil", "a virtual or unknown layout");
}

TEST_F(Hostile, SizesThatAreNotStored) {
  ExpectRefused(
      Spoil([](hid_t file) { H5Dclose(MakeDataset(file, H5T_IEEE_F32LE, {hsize_t{1} << 40})); }),
      "/evil", "0 bytes stored, its shape needs 4398046511104");
  ExpectRefused(
      Spoil([](hid_t file) {
        const hid_t list = H5Pcreate(H5P_DATASET_CREATE);
        const hsize_t chunk[2] = {1024, 1024};
        H5Pset_chunk(list, 2, chunk);
        H5Pset_deflate(list, 9);
        H5Dclose(MakeDataset(file, H5T_STD_U8LE, {hsize_t{1} << 30, hsize_t{1} << 20}, list));
        H5Pclose(list);
      }),
      "/evil", "cannot hold its");
  ExpectRefused(Spoil([](hid_t file) {
                  const hid_t list = H5Pcreate(H5P_DATASET_CREATE);
                  const hsize_t chunk = hsize_t{1} << 27;
                  H5Pset_chunk(list, 1, &chunk);
                  H5Dclose(MakeDataset(file, H5T_STD_U8LE, {hsize_t{1} << 27}, list));
                  H5Pclose(list);
                }),
                "/evil", "chunks of more than");
  ExpectRefused(Spoil([](hid_t file) {
                  H5Dclose(MakeDataset(file, H5T_STD_U8LE, {1, 1, 1, 1, 1, 1, 1}));
                }),
                "/evil", "rank 7, at most 6");
}

TEST_F(Hostile, TypesAndFiltersThatAreNotOurs) {
  const hid_t vlen = H5Tvlen_create(H5T_STD_I32LE);
  const hid_t compound = H5Tcreate(H5T_COMPOUND, 8);
  H5Tinsert(compound, "a", 0, H5T_STD_I32LE);
  const hid_t text = H5Tcopy(H5T_C_S1);
  H5Tset_size(text, H5T_VARIABLE);
  for (const hid_t type : {H5T_IEEE_F32BE, H5T_STD_I32BE, H5T_STD_REF_OBJ, vlen, compound, text,
                           H5T_UNIX_D64LE, H5T_STD_B8LE}) {
    ExpectRefused(Spoil([&](hid_t file) { H5Dclose(MakeDataset(file, type, {1})); }), "/evil",
                  "an element type that is none of ours");
  }
  H5Tclose(vlen);
  H5Tclose(compound);
  H5Tclose(text);
  ExpectRefused(Spoil([](hid_t file) {
                  const hid_t list = H5Pcreate(H5P_DATASET_CREATE);
                  const hsize_t chunk = 4;
                  H5Pset_chunk(list, 1, &chunk);
                  H5Pset_scaleoffset(list, H5Z_SO_INT, 2);
                  H5Dclose(MakeDataset(file, H5T_STD_I32LE, {4}, list));
                  H5Pclose(list);
                }),
                "/evil", "filter 6 is not one of");
}

TEST_F(Hostile, ChecksumsThatAreMissingOrWrong) {
  ExpectRefused(Spoil([](hid_t file) {
                  const hid_t list = H5Pcreate(H5P_DATASET_CREATE);
                  H5Pset_alloc_time(list, H5D_ALLOC_TIME_EARLY);
                  H5Dclose(MakeDataset(file, H5T_STD_U8LE, {4}, list, false));
                  H5Pclose(list);
                }),
                "/evil", "carries no checksum");
  const std::string path = Spoil([](hid_t file) {
    const hid_t dataset = H5Dopen2(file, "x", H5P_DEFAULT);
    SetString(dataset, "xxh3", std::string(32, '0'));
    H5Dclose(dataset);
  });
  const TensorReader reader(path);
  const auto refused = [&](const std::function<void()>& read) {
    const std::string message = MessageOf(ExitCode::kData, read);
    EXPECT_TRUE(message.starts_with(path + ": /x: its checksum is ")) << message;
  };
  refused([&] { reader.Read("/x"); });
  refused([&] { reader.ReadRows("/x", 2, 3); });
  refused([&] { reader.Map("/x"); });
  refused([&] { reader.ContentDigest(); });
}

TEST_F(Hostile, AttributesThatAreNotOurs) {
  ExpectRefused(Spoil([](hid_t file) {
                  const hid_t type = H5Tcopy(H5T_C_S1);
                  H5Tset_size(type, H5T_VARIABLE);
                  const hid_t space = H5Screate(H5S_SCALAR);
                  const hid_t attribute =
                      H5Acreate2(file, "note", type, space, H5P_DEFAULT, H5P_DEFAULT);
                  const char* words = "hello";
                  H5Awrite(attribute, type, &words);
                  H5Aclose(attribute);
                  H5Sclose(space);
                  H5Tclose(type);
                }),
                "/@note", "a variable-length string");
  ExpectRefused(
      Spoil([](hid_t file) {
        const hsize_t extents[2] = {2, 2};
        const hid_t space = H5Screate_simple(2, extents, nullptr);
        H5Aclose(H5Acreate2(file, "note", H5T_STD_I64LE, space, H5P_DEFAULT, H5P_DEFAULT));
        H5Sclose(space);
      }),
      "/@note", "neither a single value nor a list");
  ExpectRefused(
      Spoil([](hid_t file) {
        const hsize_t extent = 20 << 20;
        const hid_t space = H5Screate_simple(1, &extent, nullptr);
        H5Aclose(H5Acreate2(file, "note", H5T_STD_I64LE, space, H5P_DEFAULT, H5P_DEFAULT));
        H5Sclose(space);
      }),
      "/@note", "larger than 16777216 bytes");
  ExpectRefused(Spoil([](hid_t file) { SetString(file, "note", "\xC3("); }), "/@note", "not UTF-8");
  ExpectRefused(Spoil([](hid_t file) { SetString(file, "note", std::string("a\0b", 3)); }),
                "/@note", "a NUL inside");
}

TEST_F(Hostile, HeadersThatAreNotOurs) {
  ExpectRefused(Spoil([](hid_t file) { SetString(file, "format", "other"); }), "",
                "not a suffice tensor file");
  ExpectRefused(Spoil([](hid_t file) { H5Adelete(file, "format"); }), "",
                "not a suffice tensor file");
  ExpectRefused(Spoil([](hid_t file) { SetString(file, "encoding-version", "2.0"); }), "",
                "encoding-version 2.0, this program reads 1.x");
  ExpectRefused(Spoil([](hid_t file) { SetString(file, "encoding-type", "poem"); }), "",
                "encoding-type poem is unknown");
  ExpectRefused(Spoil([](hid_t file) { SetString(file, "config", "model: other\n"); }), "",
                "does not fit /@config");
  ExpectRefused(Spoil([](hid_t file) { SetString(file, "seed", "seven"); }), "",
                "/@seed: is not an integer");
  const std::string later = Spoil([](hid_t file) {
    SetString(file, "encoding-version", "1.7");
    SetString(file, "added-in-1.7", "ignored");
  });
  EXPECT_EQ(TensorReader(later).header().encoding_version, "1.7");
}

TEST_F(Hostile, FilesThatAreNotWhole) {
  const std::string path = Spoil([](hid_t) {});
  const std::string good = ReadBytes(path);
  const auto refuse = [&](std::string bytes, const std::string& reason) {
    WriteBytes(path, bytes);
    ExpectRefused(path, "", reason);
  };
  refuse(good.substr(0, good.size() - 1), "its superblock says");
  refuse(good + "x", "its superblock says");
  refuse(good.substr(0, 40), "truncated in its superblock");
  refuse("", "not an HDF5 file");
  refuse(std::string(512, '\0') + good, "not an HDF5 file");
  std::string open = good;
  open[11] = 1;
  refuse(open, "was not closed by its writer");
  std::string flipped = good;
  flipped[45] = static_cast<char>(flipped[45] ^ 1);
  refuse(flipped, "cannot be opened as HDF5");
  EXPECT_EQ(MessageOf(ExitCode::kData, [&] { TensorReader reader(folder_ / "absent.h5"); }),
            (folder_ / "absent.h5") + ": No such file or directory");
  EXPECT_EQ(MessageOf(ExitCode::kData, [&] { TensorReader reader("/dev/null"); }),
            "/dev/null: not a regular file");
}

TEST_F(Hostile, OldSuperblocksAreRefusedWithTheCommandThatHelps) {
  const std::string path = folder_ / "old.h5";
  H5Fclose(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT));
  ExpectRefused(path, "superblock version 0 has no checksums; 'h5repack -L " + path, "NEW.h5'");
}

TEST_F(Hostile, OtherFilesHaveTheDigestOfTheirBytes) {
  const std::string path = folder_ / "foreign.h5";
  const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110);
  H5Fclose(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access));
  H5Pclose(access);
  EXPECT_FALSE(IsTensorFile(path));
  EXPECT_EQ(ContentDigest(path), Hex(Sha256OfFile(path)));
  WriteBytes(folder_ / "a.txt", "abc");
  EXPECT_EQ(ContentDigest(folder_ / "a.txt"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  MessageOf(ExitCode::kData, [&] { ContentDigest(folder_ / "absent"); });
}

}  // namespace
}  // namespace suffice
