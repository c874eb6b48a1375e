; Two functions for one object file. They take what the canonical ABI gives, and what program.mlir passes itself: pointers
; to the first elements, the number of elements, the workgroup's ids. In C they would be
;
;   void mul(const float *a, const float *b, float *c, size_t N, size_t x, size_t y, size_t z);   // c = a · b
;   void mul_inplace(const float *a, float *b, float *c, size_t N, size_t x, size_t y, size_t z); // b = a · b, c is b
;
; Workgroup x has the 64 elements from 64·x on, the last one fewer.
define void @mul(ptr %a, ptr %b, ptr %c, i64 %N, i64 %x, i64 %y, i64 %z) {
entry:
  %first = mul i64 %x, 64
  %full = add i64 %first, 64
  %past = icmp ugt i64 %full, %N
  %stop = select i1 %past, i64 %N, i64 %full
  %some = icmp ult i64 %first, %stop
  br i1 %some, label %loop, label %done

loop:
  %i = phi i64 [ %first, %entry ], [ %next, %loop ]
  %pa = getelementptr float, ptr %a, i64 %i
  %pb = getelementptr float, ptr %b, i64 %i
  %pc = getelementptr float, ptr %c, i64 %i
  %va = load float, ptr %pa, align 4
  %vb = load float, ptr %pb, align 4
  %product = fmul float %va, %vb
  store float %product, ptr %pc, align 4
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %stop
  br i1 %more, label %loop, label %done

done:
  ret void
}

define void @mul_inplace(ptr %a, ptr %b, ptr %c, i64 %N, i64 %x, i64 %y, i64 %z) {
  call void @mul(ptr %a, ptr %b, ptr %b, i64 %N, i64 %x, i64 %y, i64 %z)
  ret void
}
