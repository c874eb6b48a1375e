declare float @llvm.maximum.f32(float, float)
declare float @llvm.minimum.f32(float, float)

define float @hard_swish_f32(float %x) {
  %moved = fadd float %x, 3.0
  %positive = call float @llvm.maximum.f32(float %moved, float 0.0)
  %bounded = call float @llvm.minimum.f32(float %positive, float 6.0)
  %scaled = fdiv float %bounded, 6.0
  %result = fmul float %x, %scaled
  ret float %result
}
