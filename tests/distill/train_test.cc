// SPDX-License-Identifier: Apache-2.0
// Training as a verb: shards of checkpoints, the teacher's cache, collapse.
#include <fstream>

#include "lib/nn/adamw.h"
#include "tests/distill/train_testing.h"

namespace suffice::distill {
namespace {

// --- shards

class ShardTest : public TrainTest {
 protected:
  // A run that was stopped after its second step, its arrays in shards of a fraction of the model.
  void Stop(int set = 3) {
    options.checkpoint_shard_bytes = 64 << 10;
    options.checkpoint_seconds = 0;
    // One set a step.
    const std::string sign = fmt::format("part.h5.checkpoint.{}-", set);
    const RunResult run = StopOnce([&] { return !Names(sign).empty(); }, "part.h5", options);
    ASSERT_EQ(run.code, 75) << run.err;
    shards = Names("part.h5.checkpoint.");
    ASSERT_GT(shards.size(), 3u);
    options.resume = true;
    options.checkpoint_seconds = 1000;
  }
  Options options = Sets();
  std::vector<std::string> shards;
};

TEST_F(ShardTest, GoOnBitForBitAndAreRemovedAtTheEnd) {
  ASSERT_EQ(Sparse("whole.h5", Sets()).code, 0);
  Stop();
  // A matrix of the model has 24 KiB: arrays are packed up to the size, and none is cut.
  for (const std::string& shard : shards)
    EXPECT_LT(std::filesystem::file_size(place / shard), 2 * options.checkpoint_shard_bytes)
        << shard;
  // What killed writers left: an older set, half a set, a temporary.
  for (const char* name : {"part.h5.checkpoint.7-0001", ".part.h5.checkpoint.8-0001.tmp.1"})
    std::ofstream(place / name) << "left";
  std::ofstream(place / "part.h5.checkpoint.notes") << "the user's own";
  const RunResult run = Sparse("part.h5", options);
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(Digest("part.h5"), Digest("whole.h5"));
  EXPECT_EQ(Names("part.h5.checkpoint"), std::vector<std::string>{"part.h5.checkpoint.notes"});
  EXPECT_TRUE(Names(".part.h5").empty());
}

TEST_F(ShardTest, ANewSetReplacesTheOldOne) {
  Stop(1);
  const std::vector<std::string> first = shards;
  Stop(4);
  EXPECT_EQ(shards.size(), first.size());
  for (const std::string& shard : first) EXPECT_FALSE(std::filesystem::exists(place / shard));
}

TEST_F(ShardTest, AMissingOneIsNamed) {
  Stop();
  std::filesystem::remove(place / shards[1]);
  const RunResult run = Sparse("part.h5", options);
  EXPECT_EQ(run.code, 3);
  EXPECT_NE(run.err.find(shards[1] + fmt::format(": missing: shard 2 of {} of", shards.size())),
            std::string::npos)
      << run.err;
  EXPECT_TRUE(std::filesystem::exists(place / "part.h5.checkpoint"));
}

TEST_F(ShardTest, AnotherCheckpointsOneIsRefused) {
  Stop();
  std::filesystem::copy_file(place / shards[0], place / shards[1],
                             std::filesystem::copy_options::overwrite_existing);
  const RunResult run = Sparse("part.h5", options);
  EXPECT_EQ(run.code, 3);
  EXPECT_NE(run.err.find(shards[1] + ": a shard of another checkpoint than"), std::string::npos)
      << run.err;
}

// --- the teacher's velocities

TEST_F(TrainTest, CachedVelocitiesGiveTheBitsOfTheTeacher) {
  ASSERT_EQ(Sparse("without.h5", Sets()).code, 0);
  const RunResult first = Sparse("first.h5", Sets(), "cache");
  ASSERT_EQ(first.code, 0) << first.err;
  EXPECT_NE(first.err.find("0 of 12 velocities of the teacher are in"), std::string::npos);
  EXPECT_EQ(Digest("first.h5"), Digest("without.h5"));
  const std::string made = ContentDigest(place / "cache/velocities-000000.h5");
  const RunResult second = Sparse("second.h5", Sets(), "cache");
  ASSERT_EQ(second.code, 0) << second.err;
  EXPECT_NE(second.err.find("12 of 12 velocities of the teacher are in"), std::string::npos);
  EXPECT_EQ(Digest("second.h5"), Digest("without.h5"));
  EXPECT_EQ(ContentDigest(place / "cache/velocities-000000.h5"), made);
  // Another student, and a longer run, follow the same file and add to it.
  ASSERT_EQ(Sparse("longer.h5", Sets({"train.steps=8", "setting=quarter"}), "cache").code, 0);
  const TensorReader file(place / "cache/velocities-000000.h5", EncodingType::kVelocities);
  EXPECT_EQ(file.Info("/velocity").shape, (Shape{16, 256, 48}));
  EXPECT_EQ(file.Info("/labels").shape, Shape{16});
}

// The student must follow what the file says: other velocities, another student.
TEST_F(TrainTest, CachedVelocitiesAreWhatIsFollowed) {
  ASSERT_EQ(Sparse("first.h5", Sets(), "cache").code, 0);
  {
    const TensorReader file(place / "cache/velocities-000000.h5");
    FileHeader header = file.header();
    TensorWriter writer(place / "changed.h5", header);
    HostArray velocity = file.Read("/velocity");
    for (float& x : velocity.values<float>()) x *= 1.5f;
    writer.Attribute("/", "first-sample", int64_t{0});
    writer.Dataset("/velocity", velocity);
    writer.Dataset("/t", file.Read("/t"));
    writer.Commit();
  }
  std::filesystem::rename(place / "changed.h5", place / "cache/velocities-000000.h5");
  ASSERT_EQ(Sparse("second.h5", Sets(), "cache").code, 0);
  EXPECT_NE(Digest("second.h5"), Digest("first.h5"));
}

TEST_F(TrainTest, ACacheGrowsOverStops) {
  ASSERT_EQ(Sparse("whole.h5", Sets()).code, 0);
  Options options = Sets();
  options.checkpoint_seconds = 0;
  const std::string file = place / "cache/velocities-000000.h5";
  const RunResult stopped =
      StopOnce([&] { return std::filesystem::exists(file); }, "part.h5", options, "cache");
  ASSERT_EQ(stopped.code, 75) << stopped.err;
  const int64_t known = TensorReader(file).Info("/velocity").shape[0];
  EXPECT_GT(known, 0);
  EXPECT_LT(known, 12);
  options.resume = true;
  const RunResult run = Sparse("part.h5", options, "cache");
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(Digest("part.h5"), Digest("whole.h5"));
  EXPECT_NE(run.err.find(fmt::format("{} of 12 velocities", known)), std::string::npos) << run.err;
  EXPECT_EQ(TensorReader(file).Info("/velocity").shape[0], 12);
}

TEST_F(TrainTest, ACacheOfAnotherRecipeIsRefused) {
  ASSERT_EQ(Sparse("first.h5", Sets(), "cache").code, 0);
  const auto refused = [&](const Options& options, const std::string& what) {
    const RunResult run = Sparse("other.h5", options, "cache");
    EXPECT_EQ(run.code, 2) << run.err;
    EXPECT_NE(run.err.find(what), std::string::npos) << run.err;
  };
  Options seed = Sets();
  seed.seed = 8;
  refused(seed, "velocities-000000.h5: made for 'seed: 7', this run wants 'seed: 8'");
  refused(Sets({"train.flips=false"}), "made for 'flips: true', this run wants 'flips: false'");
  refused(Sets({"train.time.shift=2"}), "made for 'time: ");
  refused(Sets({"train.compute=f32"}), "made for 'compute: bf16'");
  refused(Sets({"train.micro_batch=2"}), "made for 'micro_batch: 1'");
  refused(Sets({"loss=diffusion"}), "--cache-teacher: of no use with --loss diffusion");
  std::ofstream(place / "file") << "no folder";
  const RunResult run = Sparse("other.h5", Sets(), "file");
  EXPECT_EQ(run.code, 2);
  EXPECT_NE(run.err.find("file: is not a folder"), std::string::npos) << run.err;
}

// --- what ends a run

TEST_F(TrainTest, ACollapseNamesStepLayerAndCheckpoint) {
  // A rate far too high, without clipping: the loss explodes and stays there.
  Options options = Sets({"train.steps=400", "loss=diffusion", "train.optimizer.lr=5",
                          "train.optimizer.clip_norm=0", "train.optimizer.warmup_steps=200",
                          "train.stop_factor=2"});
  options.checkpoint_seconds = 0;
  const RunResult run = Sparse("out.h5", options);
  EXPECT_EQ(run.code, 1);
  const bool named =
      run.err.find("the loss has collapsed: ") != std::string::npos ||
      run.err.find("the first value that is not a number is in ") != std::string::npos;
  EXPECT_TRUE(named) << run.err.substr(run.err.size() - 600);
  EXPECT_NE(run.err.find("the last checkpoint is " + (place / "out.h5.checkpoint") + ", of step "),
            std::string::npos)
      << run.err.substr(run.err.size() - 600);
  EXPECT_FALSE(std::filesystem::exists(place / "out.h5"));
  // It is intact.
  const TensorReader checkpoint(place / "out.h5.checkpoint", EncodingType::kCheckpoint);
  for (const DatasetInfo& info : checkpoint.datasets("/state/arrays")) {
    if (info.dtype == DType::kF32)
      RequireFinite(checkpoint.Read(info.path), "checkpoint", info.path);
  }
}

}  // namespace
}  // namespace suffice::distill
