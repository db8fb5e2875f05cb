// SPDX-License-Identifier: Apache-2.0
#include "lib/tensor/tensor.h"

#include <cstring>

namespace suffice {

HostArray::HostArray(DType dtype, const Shape& shape) : dtype_(dtype), shape_(shape) {
  data_.resize(bytes());
}

View HostArray::view() { return ContiguousView(data_.data(), dtype_, shape_); }

HostArray ToArray(const std::vector<double>& values) {
  return HostArray::From<double>({static_cast<int64_t>(values.size())}, values);
}

std::vector<double> ToDoubles(const HostArray& array) {
  const auto values = array.values<double>();
  return {values.begin(), values.end()};
}

namespace {

template <class From>
void Widen(const HostArray& from, HostArray& to) {
  auto out = to.values<float>().begin();
  for (const From x : from.values<From>()) {
    if constexpr (std::is_same_v<From, BFloat16>) {
      *out++ = ToFloat(x);
    } else {
      *out++ = static_cast<float>(x);
    }
  }
}

}  // namespace

HostArray HostArray::Cast(DType wanted) const {
  if (wanted == dtype_) return *this;
  if (wanted == DType::kBF16) {
    const HostArray wide = Cast(DType::kF32);
    HostArray result(wanted, shape_);
    ToBFloat16(wide.values<float>().data(), result.values<BFloat16>().data(),
               wide.values<float>().size());
    return result;
  }
  SUFFICE_CHECK(wanted == DType::kF32);
  HostArray result(wanted, shape_);
  switch (dtype_) {
    case DType::kBF16:
      Widen<BFloat16>(*this, result);
      break;
    case DType::kF64:
      Widen<double>(*this, result);
      break;
    case DType::kU8:
      Widen<uint8_t>(*this, result);
      break;
    case DType::kI8:
      Widen<int8_t>(*this, result);
      break;
    case DType::kI16:
      Widen<int16_t>(*this, result);
      break;
    case DType::kI32:
      Widen<int32_t>(*this, result);
      break;
    case DType::kI64:
      Widen<int64_t>(*this, result);
      break;
    case DType::kF16: {
      const auto* bits = reinterpret_cast<const uint16_t*>(data_.data());
      for (float& x : result.values<float>()) x = HalfToFloat(*bits++);
      break;
    }
    default:
      SUFFICE_CHECK(!"no conversion between these types");
  }
  return result;
}

struct Tensor::Storage {
  Context* context;
  void* memory;
  std::shared_ptr<const void> owner;  // of borrowed memory
  Storage(Context& c, size_t bytes) : context(&c), memory(c.backend().alloc(c, bytes)) {}
  Storage(Context& c, void* borrowed, std::shared_ptr<const void> lender)
      : context(&c), memory(borrowed), owner(std::move(lender)) {}
  ~Storage() {
    if (!owner) context->backend().free(*context, memory);
  }
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;
};

Tensor::Tensor(Context& context, DType dtype, const Shape& shape)
    : storage_(std::make_shared<Storage>(context,
                                         static_cast<size_t>(shape.elements()) * SizeOf(dtype))),
      view_(ContiguousView(storage_->memory, dtype, shape, context.device())) {}

Tensor Tensor::Zeros(Context& context, DType dtype, const Shape& shape) {
  return FromHost(context, HostArray(dtype, shape));
}

Tensor Tensor::FromHost(Context& context, const HostArray& array) {
  Tensor tensor(context, array.dtype(), array.shape());
  tensor.CopyFromHost(array);
  return tensor;
}

Tensor Tensor::Borrow(Context& context, const View& host, std::shared_ptr<const void> owner) {
  SUFFICE_CHECK(host.contiguous() && host.device.kind == DeviceKind::kHost && owner != nullptr);
  Tensor tensor;
  if (context.device().kind == DeviceKind::kHost) {
    tensor.storage_ = std::make_shared<Storage>(context, host.data, std::move(owner));
    tensor.view_ = host;
    return tensor;
  }
  tensor = Tensor(context, host.dtype, host.shape);
  context.backend().copy(context, tensor.view_.data, tensor.view_.device.kind, host.data,
                         DeviceKind::kHost, host.bytes());
  return tensor;
}

HostArray Tensor::ToHost() const {
  SUFFICE_CHECK(view_.contiguous());
  HostArray array(dtype(), shape());
  Context& c = context();
  c.backend().copy(c, array.data(), DeviceKind::kHost, view_.data, view_.device.kind,
                   array.bytes());
  c.backend().synchronize(c);
  return array;
}

void Tensor::CopyFromHost(const HostArray& array) {
  SUFFICE_CHECK(view_.contiguous() && array.dtype() == dtype() && array.shape() == shape());
  Context& c = context();
  c.backend().copy(c, view_.data, view_.device.kind, array.data(), DeviceKind::kHost,
                   array.bytes());
}

void Tensor::CopyFrom(const Tensor& tensor) {
  SUFFICE_CHECK(view_.contiguous() && tensor.view().contiguous());
  SUFFICE_CHECK(tensor.dtype() == dtype() && tensor.shape() == shape());
  Context& c = context();
  c.backend().copy(c, view_.data, view_.device.kind, tensor.view().data, view_.device.kind,
                   view_.bytes());
}

Context& Tensor::context() const {
  SUFFICE_CHECK(storage_ != nullptr);
  return *storage_->context;
}

Tensor Tensor::Like(const View& view) const {
  Tensor tensor = *this;
  tensor.view_ = view;
  return tensor;
}

Tensor Tensor::Slice(int axis, int64_t begin, int64_t end) const {
  return Like(view_.slice(axis, begin, end));
}
Tensor Tensor::Transpose(int axis0, int axis1) const { return Like(view_.transpose(axis0, axis1)); }
Tensor Tensor::Reshape(const Shape& shape) const { return Like(view_.reshape(shape)); }

HostContents::HostContents(const Tensor& tensor) {
  SUFFICE_CHECK(tensor.view().contiguous());
  if (tensor.view().device.kind == DeviceKind::kHost) {
    Context& c = tensor.context();
    c.backend().synchronize(c);
    kept_ = tensor;
    view_ = tensor.view();
  } else {
    copy_ = tensor.ToHost();
    view_ = copy_.view();
  }
}

}  // namespace suffice
