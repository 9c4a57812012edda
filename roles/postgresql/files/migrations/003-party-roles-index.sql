-- transaction: no
-- needs: public.party_roles
-- What is left of an attempt that failed is an invalid index: it is made anew.
DROP INDEX CONCURRENTLY IF EXISTS public.idx_party_roles_active;
CREATE INDEX CONCURRENTLY idx_party_roles_active
  ON public.party_roles (party_id, role_name, effective_from, effective_to)
  WHERE active;
