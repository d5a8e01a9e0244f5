"""Materials: formulas, tables of them, properties of the elements, and the published lists of superconductors."""
