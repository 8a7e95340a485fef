// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {PlainToken} from "./PlainToken.sol";
import {SignedMath} from "@openzeppelin/contracts/utils/math/SignedMath.sol";

/// @notice Changes the payee's balance on its own while a transfer runs, up or down.
contract RebasingToken is PlainToken {
    int256 private rebase;

    function setRebase(int256 amount) external {
        rebase = amount;
    }

    function transferFrom(address from, address to, uint256 value) public override returns (bool) {
        super.transferFrom(from, to, value);
        if (rebase > 0) _mint(to, SignedMath.abs(rebase));
        if (rebase < 0) _burn(to, SignedMath.abs(rebase));
        return true;
    }
}
