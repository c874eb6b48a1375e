; y[m] = Σn x[m, n], 8 columns at a time; each workgroup computes one row, whose number is %row.
define void @row_sums(ptr %x, ptr %y, i64 %M, i64 %N, i64 %row, i64 %wy, i64 %wz) {
entry:
  %start = mul i64 %row, %N
  %x_row = getelementptr float, ptr %x, i64 %start
  %result = getelementptr float, ptr %y, i64 %row
  br label %loop

loop:
  %n = phi i64 [ 0, %entry ], [ %n_next, %loop ]
  %sums = phi <8 x float> [ zeroinitializer, %entry ], [ %sums_next, %loop ]
  %place = getelementptr float, ptr %x_row, i64 %n
  %values = load <8 x float>, ptr %place, align 4
  %sums_next = fadd <8 x float> %sums, %values
  %n_next = add i64 %n, 8
  %more = icmp ult i64 %n_next, %N
  br i1 %more, label %loop, label %done

done:
  %total = call reassoc float @llvm.vector.reduce.fadd.v8f32(float 0.0, <8 x float> %sums_next)
  store float %total, ptr %result, align 4
  ret void
}

declare float @llvm.vector.reduce.fadd.v8f32(float, <8 x float>)
