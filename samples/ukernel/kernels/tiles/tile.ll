; The micro-kernel: one tile of a product. In C it would be
;
;   void tile_matmul(const float *a, size_t a_first, size_t a_stride, const float *b, size_t b_first, size_t b_stride,
;                    float *c, size_t c_first, size_t c_stride, size_t rows, size_t columns, size_t depth);
;
; Each tensor of `iree_codegen.ukernel.generic` arrives as a pointer, its first element, and the strides that `strided_dims`
; asks for; then come the other operands.
define void @tile_matmul(ptr %a, i64 %a_first, i64 %a_stride, ptr %b, i64 %b_first, i64 %b_stride,
                         ptr %c, i64 %c_first, i64 %c_stride, i64 %rows, i64 %columns, i64 %depth) {
entry:
  br label %row
row:
  %m = phi i64 [ 0, %entry ], [ %m1, %row_end ]
  br label %column
column:
  %n = phi i64 [ 0, %row ], [ %n1, %column_end ]
  br label %step
step:
  %k = phi i64 [ 0, %column ], [ %k1, %step ]
  %sum = phi float [ 0.0, %column ], [ %sum1, %step ]
  %am = mul i64 %m, %a_stride
  %ak = add i64 %am, %k
  %ai = add i64 %ak, %a_first
  %bk = mul i64 %k, %b_stride
  %bn = add i64 %bk, %n
  %bi = add i64 %bn, %b_first
  %pa = getelementptr float, ptr %a, i64 %ai
  %pb = getelementptr float, ptr %b, i64 %bi
  %va = load float, ptr %pa, align 4
  %vb = load float, ptr %pb, align 4
  %product = fmul contract float %va, %vb
  %sum1 = fadd contract float %sum, %product
  %k1 = add i64 %k, 1
  %deeper = icmp ult i64 %k1, %depth
  br i1 %deeper, label %step, label %column_end
column_end:
  %cm = mul i64 %m, %c_stride
  %cn = add i64 %cm, %n
  %ci = add i64 %cn, %c_first
  %pc = getelementptr float, ptr %c, i64 %ci
  store float %sum1, ptr %pc, align 4
  %n1 = add i64 %n, 1
  %wider = icmp ult i64 %n1, %columns
  br i1 %wider, label %column, label %row_end
row_end:
  %m1 = add i64 %m, 1
  %further = icmp ult i64 %m1, %rows
  br i1 %further, label %row, label %done
done:
  ret void
}
