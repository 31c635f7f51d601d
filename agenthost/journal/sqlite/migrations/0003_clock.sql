-- by_clock: it is due at a time of the clock, also after that was set. What else is delayed or backs off is moved then.
ALTER TABLE mail ADD COLUMN by_clock INTEGER NOT NULL DEFAULT 0;
