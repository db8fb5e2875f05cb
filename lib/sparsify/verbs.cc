// SPDX-License-Identifier: Apache-2.0
#include "lib/sparsify/verbs.h"

namespace suffice::sparsify {

using enum ArgumentKind;

void VisitSelection(Fields& f, SelectionConfig& c) {
  f("at", c.at, "group that holds q, k and v").Flag("at");
  f("rule", c.rule, "which blocks are kept")
      .OneOf({"hybrid", "topk", "topp", "dense"})
      .Flag("rule");
  f("k", c.k, "fraction of a row's allowed blocks that top-k keeps").Range(0, 1).Flag("k");
  f("p", c.p, "fraction of a row's pooled mass that top-p keeps").Range(0, 1).Flag("p");
  f("window", c.window, "tokens around the query block always kept; -1: none")
      .Range(-1, 1e9)
      .Unit("tokens");
  f("pin_begin", c.pin_begin, "first key token whose block is always kept").Range(0, 1e9);
  f("pin_end", c.pin_end, "end of the pinned key tokens").Range(0, 1e9);
  f("block_q", c.block_q, "query tokens in a block").Range(64, 128);
  f("block_k", c.block_k, "key tokens in a block").Range(64, 128);
  f("causal", c.causal, "query t sees keys up to t + N_k - N_q");
  f("scale", c.scale, "of the scores; 0: 1 / sqrt(D)").Range(0, 1e6);
}

void Visit(Fields& f, AttendConfig& c) {
  VisitSelection(f, c);
  f("exact", c.exact, "kept mass of every row and the error against dense attention").Flag("exact");
  f("sample_rows", c.sample_rows, "kept mass of that many rows; 0: none")
      .Range(0, 1e9)
      .Flag("sample-rows");
}

void Visit(Fields& f, MaskConfig& c) { VisitSelection(f, c); }

void Visit(Fields& f, SweepConfig& c) {
  f("rules", c.rules, "of topk, topp, hybrid");
  f("k", c.k, "fractions of blocks, for topk and hybrid").Range(0, 1);
  f("p", c.p, "fractions of mass, for topp").Range(0, 1);
  f("hybrid_p", c.hybrid_p, "fractions of mass, for hybrid").Range(0, 1);
  f("orders", c.orders, "token orders: raster, tiles, hilbert");
  f("tile", c.tile, "frames, rows and columns of a tile, in tokens").Range(1, 1024);
  f("scores", c.scores, "what blocks are ranked by: mean, cumulant, oracle");
  f("row_groups", c.row_groups, "also by so many groups of block rows, by entropy; 1: none")
      .Range(1, 64);
  f("block_q", c.block_q, "query tokens in a block").Range(64, 128);
  f("block_k", c.block_k, "key tokens in a block").Range(64, 128);
}

void Visit(Fields& f, BenchConfig& c) {
  f("cases", c.cases, "only cases whose name has this part; empty: all").Flag("case");
  f("seconds", c.seconds,
    "of timing a case; three repetitions at least, nine at most, 100 on a GPU")
      .Range(0, 3600)
      .Unit("seconds")
      .Flag("seconds");
  f("dim", c.dim, "with --mask: the head dimension").Range(1, 256).Flag("dim");
}

namespace {

const Argument kQkv{"qkv", "", kInput, true, false, "tensor file with q, k and v"};

VerbInfo AttendInfo() {
  VerbInfo info{.tool = "sparsify",
                .name = "attend",
                .summary = "block-sparse attention of q, k, v, with its mask and density"};
  info.description =
      "Writes o, its log-sum-exp and the block mask. Density is kept (query, key) token pairs over "
      "allowed\n"
      "pairs. --exact and --sample-rows measure the kept softmax mass from all keys.";
  info.arguments = {
      kQkv,
      {"mask", "--mask", kInput, false, false,
       "keep the blocks of this mask file instead of selecting"},
      {"output", "-o,--output", kOutput, true, false, "mask file with o, lse and mask"}};
  info.examples = {{"sparsify attend qkv.h5 --at /layers/0 --k 0.05 --p 0.2 -o attended.h5",
                    "the hybrid rule on one layer of a capture"},
                   {"sparsify attend qkv.h5 --at /layers/0 --rule dense -o dense.h5",
                    "every block, through the same kernel"}};
  info.uses_backend = true;
  info.uses_seed = true;
  info.resumable = true;
  return info;
}

VerbInfo MaskInfo() {
  VerbInfo info{.tool = "sparsify",
                .name = "mask",
                .summary = "the block mask that a rule selects, and nothing else"};
  info.arguments = {kQkv, {"output", "-o,--output", kOutput, true, false, "mask file"}};
  info.examples = {{"sparsify mask qkv.h5 --at /layers/0 --rule topk --k 0.1 -o mask.h5",
                    "a tenth of the blocks"}};
  info.uses_backend = true;
  return info;
}

VerbInfo SweepInfo() {
  VerbInfo info{
      .tool = "sparsify",
      .name = "sweep",
      .summary = "tabulate rule, setting and token order: density, error, kept mass, time"};
  info.arguments = {kQkv, Streamed({"output", "-o,--output", kOutput, false, false,
                                    "table as TSV; - is stdout"})};
  info.examples = {
      {"sparsify sweep qkv.h5 -o sweep.tsv", "every rule on every captured layer"},
      {"sparsify sweep qkv.h5 --set row_groups=4 --set scores=[mean,oracle] -o rows.tsv",
       "also by entropy of the block rows, and blocks ranked by their true mass"},
      {"sparsify sweep qkv.h5 --shard 0/2 -o sweep-0.tsv", "the first half of the rows"}};
  info.uses_backend = true;
  info.resumable = true;
  info.shards = true;
  return info;
}

VerbInfo MergeInfo() {
  VerbInfo info{
      .tool = "sparsify", .name = "merge", .summary = "the shards of a sweep as one table"};
  info.description =
      "All shards of one sweep, in any order, make the table of a sweep that was not sharded, "
      "measured seconds\n"
      "aside. One that is missing, given twice or of another run is refused.";
  info.arguments = {
      {"shards", "", kInput, true, true, "tables of sweep --shard"},
      Streamed({"output", "-o,--output", kOutput, true, false, "table as TSV; - is stdout"})};
  info.examples = {
      {"sparsify merge sweep-0.tsv sweep-1.tsv -o sweep.tsv", "the two halves of a sweep"}};
  info.has_config = false;
  return info;
}

VerbInfo ModelInfo() {
  VerbInfo info{.tool = "sparsify",
                .name = "model",
                .summary = "attach a sparsity policy to a dense model: its contract"};
  info.description =
      "The policy lists settings: rule, k and p, with exceptions by layer, head and time interval. "
      "The first\n"
      "is the default. The weights stay as they are; the contract never changes afterwards.";
  info.arguments = {
      {"model", "", kInput, true, false, "dense model"},
      {"output", "-o,--output", kOutput, true, false, "the same model with a contract"}};
  info.examples = {
      {"sparsify model dense.h5 -c policy.yaml -o sparse0.h5", "a training-free sparse model"}};
  return info;
}

VerbInfo BenchInfo() {
  VerbInfo info{.tool = "sparsify",
                .name = "bench",
                .summary = "verify and time attention against the machine's own ceiling"};
  info.description =
      "Each case is checked against its definition, then timed. Rates count the kept pairs only; "
      "their share is\n"
      "of the peak rate measured between repetitions: on a GPU that of the vendor's bf16 product, "
      "before and\n"
      "after a case. There, cases are other ones, events of the device time them, its cache is "
      "overwritten\n"
      "before each repetition, and small kernels are replayed as a graph. A case is named\n"
      "operation/dtype/BxHxNxD/density, with /blocks, /lists and /rule where they are not the "
      "usual; what a\n"
      "backend cannot run is shown as -.";
  info.arguments = {
      Streamed({"output", "-o,--output", kOutput, false, false, "results as JSON; - is stdout"}),
      Streamed(
          {"table", "--table", kOutput, false, false, "results as a Markdown table; - is stdout"}),
      {"mask", "--mask", kInput, false, false,
       "time attention over the blocks of this mask file, as sparsify mask writes it, and dense"}};
  info.examples = {{"sparsify bench --threads 2 -o bench.json --table bench.md", "every case"},
                   {"sparsify bench --case attend/bf16 --seconds 5", "forward in bf16, longer"},
                   {"sparsify bench --backend cuda --isa sm_80 --case 1x12x32760x128",
                    "one shape by the portable kernels of a GPU"}};
  info.uses_backend = true;
  return info;
}

}  // namespace

std::vector<Verb> Verbs() {
  return {MakeVerb(AttendInfo(), &Attend), MakeVerb(MaskInfo(), &Mask),
          MakeVerb(SweepInfo(), &Sweep),   MakeVerb(MergeInfo(), &Merge),
          MakeVerb(ModelInfo(), &Model),   MakeVerb(BenchInfo(), &Bench)};
}

}  // namespace suffice::sparsify
