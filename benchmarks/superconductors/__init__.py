"""An ensemble of Deep Sets of the published size (npj Comput. Mater. 9, 71) against its members one after another."""
