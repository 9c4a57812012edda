-- transaction: no
-- needs: public.loans
-- What is left of an attempt that failed is an invalid index: it is made anew.
DROP INDEX CONCURRENTLY IF EXISTS public.idx_loans_customer_status;
CREATE INDEX CONCURRENTLY idx_loans_customer_status
  ON public.loans (customer_id, status)
  WHERE status IN ('ACTIVE', 'PENDING');
