; y[m] = Σn x[m, n]², 16 columns at a time; each workgroup computes one row, whose number is %row.
; The parameters: a pointer for each operand, at its first element; each axis; the strides of x, in elements; the
; workgroup's x, y and z. What the model knows is a constant once this is inlined, so the test of the stride costs nothing.
define void @row_squares(ptr %x, ptr %y, i64 %M, i64 %N, i64 %stride_m, i64 %stride_n, i64 %row, i64 %wy, i64 %wz) {
entry:
  %row_start = mul i64 %row, %stride_m
  %x_row = getelementptr float, ptr %x, i64 %row_start
  %result = getelementptr float, ptr %y, i64 %row
  %dense = icmp eq i64 %stride_n, 1
  br i1 %dense, label %wide, label %narrow

wide:                                             ; the columns follow each other: 16 in one load
  %n = phi i64 [ 0, %entry ], [ %n_next, %wide ]
  %sums = phi <16 x float> [ zeroinitializer, %entry ], [ %sums_next, %wide ]
  %place = getelementptr float, ptr %x_row, i64 %n
  %values = load <16 x float>, ptr %place, align 4
  %squares = fmul contract <16 x float> %values, %values
  %sums_next = fadd contract <16 x float> %sums, %squares
  %n_next = add i64 %n, 16
  %more = icmp ult i64 %n_next, %N
  br i1 %more, label %wide, label %together

together:
  %total = call reassoc float @llvm.vector.reduce.fadd.v16f32(float 0.0, <16 x float> %sums_next)
  store float %total, ptr %result, align 4
  ret void

narrow:                                           ; they lie apart: one at a time
  %i = phi i64 [ 0, %entry ], [ %i_next, %narrow ]
  %sum = phi float [ 0.0, %entry ], [ %sum_next, %narrow ]
  %column = mul i64 %i, %stride_n
  %one_place = getelementptr float, ptr %x_row, i64 %column
  %value = load float, ptr %one_place, align 4
  %square = fmul contract float %value, %value
  %sum_next = fadd contract float %sum, %square
  %i_next = add i64 %i, 1
  %i_more = icmp ult i64 %i_next, %N
  br i1 %i_more, label %narrow, label %alone

alone:
  store float %sum_next, ptr %result, align 4
  ret void
}

declare float @llvm.vector.reduce.fadd.v16f32(float, <16 x float>)
