; Raw ABI: the start of every binding in order (a, b, result), then every push constant (none), then the workgroup's ids.
; Nothing is decoded: offsets and sizes are this code's business. Here 8 workgroups take 512 elements each.
define void @raw_mul(ptr %a, ptr %b, ptr %out, i64 %x, i64 %y, i64 %z) {
entry:
  %start = mul i64 %x, 512
  %stop = add i64 %start, 512
  br label %loop

loop:
  %i = phi i64 [ %start, %entry ], [ %next, %loop ]
  %pa = getelementptr float, ptr %a, i64 %i
  %pb = getelementptr float, ptr %b, i64 %i
  %po = getelementptr float, ptr %out, i64 %i
  %va = load float, ptr %pa, align 4
  %vb = load float, ptr %pb, align 4
  %product = fmul float %va, %vb
  store float %product, ptr %po, align 4
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %stop
  br i1 %more, label %loop, label %done

done:
  ret void
}
