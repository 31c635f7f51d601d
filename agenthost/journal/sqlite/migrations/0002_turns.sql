-- The last turn of this incarnation that no message began and that was written: said again, it is not written again.
ALTER TABLE owners ADD COLUMN turn INTEGER NOT NULL DEFAULT 0;
